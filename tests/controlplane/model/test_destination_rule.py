"""Which DestinationRule counts, and what it says for a port of a subset."""

from controlplane.model.destination_rule import effective_policy
from tests.controlplane.model.factory import mesh, resource, service

HOST = "web.default.svc.cluster.local"


def find(*rules: object, viewer: str = "default", labels: dict[str, str] | None = None) -> str | None:
    made = mesh(service("web"), *rules)  # type: ignore[arg-type]
    rule = made.destination_rules.find(HOST, "default", viewer, labels or {})
    return rule.config.name if rule is not None else None


def test_the_callers_namespace_then_the_services_then_the_root() -> None:
    own = resource("DestinationRule", "caller", f"{{host: {HOST}}}", "back")
    services = resource("DestinationRule", "service", "{host: web}")
    root = resource("DestinationRule", "root", f"{{host: {HOST}}}", "istio-system")
    assert find(own, services, root, viewer="back") == "caller"
    assert find(own, services, root, viewer="third") == "service"
    assert find(own, root, viewer="third") == "root"
    assert find(own, viewer="third") is None


def test_the_most_specific_host() -> None:
    wide = resource("DestinationRule", "wide", "{host: '*.default.svc.cluster.local'}")
    exact = resource("DestinationRule", "exact", "{host: web}")
    assert find(wide, exact) == "exact"
    assert find(wide) == "wide"


def test_a_workload_selector_is_for_its_own_workloads() -> None:
    chosen = resource("DestinationRule", "chosen", "{host: web, workloadSelector: {matchLabels: {app: x}}}")
    plain = resource("DestinationRule", "plain", "{host: web}")
    assert find(chosen, plain, labels={"app": "x"}) == "chosen"
    assert find(chosen, plain, labels={"app": "y"}) == "plain"


def test_levels_are_overlaid_and_a_port_replaces_its_level() -> None:
    made = mesh(
        service("web"),
        resource(
            "DestinationRule",
            "web",
            """
            host: web
            trafficPolicy:
              loadBalancer: {simple: RANDOM}
              outlierDetection: {consecutive5xxErrors: 1}
              portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}]
            subsets:
            - {name: v1, labels: {version: v1}}
            - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}
            """,
        ),
    )
    rule = made.destination_rules.find(HOST, "default", "default", {})

    def simple(port: int, subset: str) -> tuple[str | None, bool]:
        policy = effective_policy(rule, port, subset)
        return (policy.load_balancer.simple if policy.load_balancer else None, policy.outlier_detection is not None)

    assert simple(80, "") == ("RANDOM", True)
    assert simple(81, "") == ("ROUND_ROBIN", False)
    assert simple(80, "v1") == ("RANDOM", True)
    assert simple(80, "v2") == ("LEAST_REQUEST", True)
    assert simple(81, "v2") == ("LEAST_REQUEST", False)
    assert effective_policy(None, 80).load_balancer is None
