"""Pods to ServiceEntry and WorkloadEntry: as the process lab writes them."""

from controlplane.sources.docker_containers import parse_container
from controlplane.sources.docker_pods import plan_pods
from controlplane.sources.docker_resources import assign_addresses, registry_resources
from lugsail.api.base import Resource
from tests.controlplane.sources.engine import Json, placed, plain, recorded


def resources(*containers: Json, ready: bool = True) -> dict[str, Resource]:
    plan = plan_pods([parse_container(c) for c in containers], None)
    addresses = assign_addresses(plan.pods, {})
    found, problems = registry_resources(plan.pods, plan.targets if ready else (), addresses)
    assert problems == ()
    return {f"{key.kind}/{key.name}": resource for key, resource in found.items()}


def test_a_service_and_its_workload():
    made = resources(plain("reviews-v1", "10.0.0.1"))
    service = made["ServiceEntry/reviews"].to_dict()
    assert service["spec"].pop("addresses")[0].startswith("240.240.")
    assert service["spec"] == {
        "hosts": ["reviews.default.svc.cluster.local"],
        "ports": [{"number": 9080, "name": "http", "protocol": "HTTP", "targetPort": 9080}],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "workloadSelector": {"labels": {"app": "reviews"}},
    }
    workload = made["WorkloadEntry/reviews-v1"].to_dict()
    assert workload["spec"] == {
        "address": "10.0.0.1",
        "labels": {"app": "reviews", "version": "v1", "lugsail.io/workload": "reviews-v1"},
        "serviceAccount": "default",
    }
    assert workload["status"]["conditions"] == [{"type": "Healthy", "status": "True"}]


def test_who_is_not_ready_is_there_but_not_healthy():
    made = resources(plain("v1"), ready=False)
    assert made["WorkloadEntry/v1"].status["conditions"] == [{"type": "Healthy", "status": "False"}]


def test_who_has_no_address_leaves_only_its_service():
    gone = plain("v1")
    gone["State"]["Running"] = False
    assert list(resources(gone)) == ["ServiceEntry/reviews"]


def test_two_services_of_one_app_are_told_apart_by_a_label_of_our_own():
    made = resources(plain("a", service="front"), plain("b", "10.0.0.2", service="back"), plain("c", app="other"))
    selectors = {name: r.spec.workload_selector.labels for name, r in made.items() if name.startswith("Service")}
    assert selectors == {
        "ServiceEntry/front": {"lugsail.io/service": "front"},
        "ServiceEntry/back": {"lugsail.io/service": "back"},
        "ServiceEntry/other": {"app": "other"},
    }
    assert made["WorkloadEntry/a"].spec.labels["lugsail.io/service"] == "front"
    assert "lugsail.io/service" not in made["WorkloadEntry/c"].spec.labels


def test_a_workload_that_listens_elsewhere_says_where():
    made = resources(plain("a", ports="http:80:8080"), plain("b", "10.0.0.2", ports="http:80:9090"))
    assert made["ServiceEntry/reviews"].spec.ports[0].target_port == 8080
    assert made["WorkloadEntry/a"].spec.ports == {} and made["WorkloadEntry/b"].spec.ports == {"http": 9090}


def test_the_gateway_is_where_the_process_lab_has_it():
    made = resources(placed(recorded("gateway", "gateway"), "10.0.0.5"))
    service = made["ServiceEntry/istio-ingressgateway"]
    assert service.namespace == "istio-system"
    assert service.spec.hosts == ("istio-ingressgateway.istio-system.svc.cluster.local",)
    assert made["WorkloadEntry/istio-ingressgateway"].spec.labels["istio"] == "ingressgateway"


def test_addresses_stay():
    pods = plan_pods([parse_container(plain("a")), parse_container(plain("b", app="other"))], None).pods
    first = assign_addresses(pods, {})
    assert len(set(first.values())) == 2
    moved = dict.fromkeys(first, "") | {next(iter(first)): "240.240.9.9"}
    assert "240.240.9.9" in assign_addresses(pods, moved).values()
    assert assign_addresses(pods[:1], first) == {k: v for k, v in first.items() if k.startswith("default/reviews.")}
