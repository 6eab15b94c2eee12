import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts

MANAGER = "envoy.filters.network.http_connection_manager"


def spec(patch: str) -> str:
    return f"configPatches: [{{{patch}}}]"


def refused(patch: str, *expected: tuple[str, str]) -> None:
    assert_refused("EnvoyFilter", spec(patch), *((f"configPatches[0].{path}", part) for path, part in expected))


@pytest.mark.parametrize(
    "patch",
    [
        "applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: a}}, patch: {operation: MERGE, value:"
        " {connect_timeout: 3s}}",
        "applyTo: VIRTUAL_HOST, match: {routeConfiguration: {vhost: {name: a}}}, patch: {operation: REMOVE}",
        "applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {name: x}}, match: {listener: {filterChain:"
        f" {{filter: {{name: {MANAGER}, subFilter: {{name: a}}}}}}}}}}",
        "applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {}}",
    ],
)
def test_good_patches(patch: str) -> None:
    assert error_texts("EnvoyFilter", spec(patch)) == []


def test_what_every_patch_needs() -> None:
    refused("match: {}", ("applyTo", "is required"), ("patch.operation", "is required"))
    refused("applyTo: CLUSTER, patch: {operation: ADD}", ("patch.value", "is required for ADD"))


def test_the_match_fits() -> None:
    refused(
        "applyTo: CLUSTER, match: {listener: {}, proxy: {proxyVersion: '('}}, patch: {operation: REMOVE}",
        ("match.proxy.proxyVersion", "not a regular expression"),
        ("match.listener", "match on `cluster`"),
    )
    refused(
        "applyTo: HTTP_ROUTE, match: {cluster: {}, routeConfiguration: {}}, patch: {operation: REMOVE}",
        ("match", "routeConfiguration and cluster exclude each other"),
        ("match.cluster", "match on `routeConfiguration`"),
    )
    chain = "match: {listener: {filterChain: {filter: {name: other, subFilter: {}}}}}, patch: {operation: REMOVE}"
    at = "match.listener.filterChain.filter"
    refused(f"applyTo: HTTP_FILTER, {chain}", (f"{at}.name", MANAGER), (f"{at}.subFilter.name", "is required"))
    refused(
        f"applyTo: NETWORK_FILTER, {chain.replace('name: other, ', '')}",
        (f"{at}.name", "is required"),
        (f"{at}.subFilter", "it is for HTTP_FILTER"),
        (f"{at}.subFilter.name", "is required"),
    )


def test_an_operation_without_effect() -> None:
    warned = warning_texts("EnvoyFilter", spec("applyTo: CLUSTER, patch: {operation: REPLACE, value: {name: a}}"))
    assert any("patch.operation: REPLACE has no effect on CLUSTER; it is for" in text for text in warned)


def test_targets() -> None:
    assert_refused(
        "EnvoyFilter",
        "workloadSelector: {labels: {a: b}}\ntargetRefs: [{kind: Pod, namespace: x}]",
        ("targetRefs", "has no place beside workloadSelector"),
        ("targetRefs[0].name", "is required"),
        ("targetRefs[0].namespace", "must not be set"),
        ("targetRefs[0].kind", "cannot be a target"),
    )
    target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: a}]"
    assert error_texts("EnvoyFilter", target) == []
