"""The generated resources: valid by the API's own rules, and saying what the lab is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lugsail.api.load import load_resource
from lugsail.lab.addressing import Subnet
from lugsail.lab.paths import Home
from lugsail.lab.plan import BadOption, Options, check_proxy, parse_proxy_for, place
from lugsail.lab.pod import Pod, app_environment, next_pod_number
from lugsail.lab.resources import registry_documents, sidecar_resource, tcp_environment
from lugsail.lab.topology import ServicePort, Workload

SUBNET = Subnet("127.20")


def workload(name: str, app: str, *ports: ServicePort, service: str = "", **more: Any) -> Workload:
    labels = {"app": app, "version": "v1"}
    return Workload(name, labels=labels, service=service or app, ports=ports, service_account=f"sa-{app}", **more)


HTTP = ServicePort("http", 9080)
MYSQL = ServicePort("mysql", 3306)


def pods_of(*workloads: Workload, **options: Any) -> list[Pod]:
    made = Options(Home(Path("/tmp/x")), SUBNET, Path("app.yaml"), **options)
    return place(workloads, made, lambda preferred, taken: preferred + len(taken) * 1000)


def by_name(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}


def test_pods_in_order_with_the_gateway_last() -> None:
    pods = pods_of(workload("a", "a", HTTP), workload("curl", "curl"), proxy_for={"a": "envoy"})
    assert [(pod.name, pod.ip, pod.kind, pod.proxy) for pod in pods] == [
        ("a", "127.20.1.1", "sidecar", "envoy"),
        ("curl", "127.20.2.1", "sidecar", "python"),
        ("istio-ingressgateway", "127.20.3.1", "router", "python"),
    ]
    assert pods[0].app_port == SUBNET.preferred_app_port(1)
    assert pods[1].app_port is None
    assert pods[0].proxy_name == "a.default"


def test_the_registry() -> None:
    pods = pods_of(workload("reviews-v1", "reviews", HTTP), workload("reviews-v2", "reviews", HTTP), workload("c", "c"))
    documents = registry_documents(pods, SUBNET, 18033)
    for document in documents:
        load_resource(document)
    services = by_name(documents, "ServiceEntry")
    assert list(services) == ["reviews", "istio-ingressgateway"]
    assert services["reviews"]["spec"] == {
        "hosts": ["reviews.default.svc.cluster.local"],
        "addresses": ["127.20.255.1"],
        "ports": [{"number": 9080, "name": "http", "protocol": "HTTP", "targetPort": 9080}],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "workloadSelector": {"labels": {"app": "reviews"}},
    }
    gateway_ports = {port["number"]: port["targetPort"] for port in services["istio-ingressgateway"]["spec"]["ports"]}
    assert gateway_ports == {80: 18033, 8080: 18033, 443: 18396}
    entries = by_name(documents, "WorkloadEntry")
    assert list(entries) == ["reviews-v1", "reviews-v2", "c", "istio-ingressgateway"]
    assert entries["reviews-v2"]["spec"] == {
        "address": "127.20.2.1",
        "labels": {"app": "reviews", "version": "v1", "lugsail.io/workload": "reviews-v2"},
        "serviceAccount": "sa-reviews",
    }
    assert entries["istio-ingressgateway"]["metadata"]["namespace"] == "istio-system"


def test_a_service_that_its_app_label_does_not_tell_apart_gets_a_label_of_its_own() -> None:
    pods = pods_of(workload("a", "app", HTTP, service="one"), workload("b", "app", HTTP, service="two"))
    documents = registry_documents(pods, SUBNET, 8080)
    services, entries = by_name(documents, "ServiceEntry"), by_name(documents, "WorkloadEntry")
    assert services["one"]["spec"]["workloadSelector"]["labels"] == {"lugsail.io/service": "one"}
    assert entries["a"]["spec"]["labels"]["lugsail.io/service"] == "one"
    assert entries["b"]["spec"]["labels"]["lugsail.io/service"] == "two"


def test_a_high_gateway_port_leaves_no_room_for_https() -> None:
    documents = registry_documents(pods_of(), SUBNET, 65300)
    ports = by_name(documents, "ServiceEntry")["istio-ingressgateway"]["spec"]["ports"]
    assert [port["number"] for port in ports] == [80, 8080]


def test_the_sidecar_of_a_pod() -> None:
    pods = pods_of(workload("productpage-v1", "productpage", HTTP))
    resource = sidecar_resource(pods[0], pods)
    load_resource(resource)
    assert resource["metadata"]["name"] == "productpage-v1"
    assert resource["spec"] == {
        "workloadSelector": {"labels": {"lugsail.io/workload": "productpage-v1"}},
        "ingress": [
            {
                "port": {"number": 9080, "protocol": "HTTP", "name": "http"},
                "bind": "127.20.1.1",
                "captureMode": "NONE",
                "defaultEndpoint": f"127.0.0.1:{pods[0].app_port}",
            }
        ],
        "egress": [
            {
                "port": {"number": 15080, "protocol": "HTTP_PROXY", "name": "http-proxy"},
                "bind": "127.20.1.2",
                "captureMode": "NONE",
                "hosts": ["*/*"],
            }
        ],
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
    }


def test_a_client_has_no_ingress() -> None:
    pods = pods_of(workload("curl", "curl"))
    assert "ingress" not in sidecar_resource(pods[0], pods)["spec"]
    load_resource(sidecar_resource(pods[0], pods))


def test_plain_tcp_services_have_listeners_with_ports_of_their_own() -> None:
    pods = pods_of(workload("db-a", "a", MYSQL), workload("db-b", "b", MYSQL), workload("c", "c"))
    resource = sidecar_resource(pods[2], pods)
    load_resource(resource)
    tcp = [(each["port"]["number"], each["hosts"]) for each in resource["spec"]["egress"][1:]]
    assert tcp == [
        (3306, ["default/a.default.svc.cluster.local"]),
        (3307, ["default/b.default.svc.cluster.local"]),
    ]
    environment = app_environment(pods[2], tcp_environment(pods[2], pods))
    assert environment["LUGSAIL_TCP_B"] == "127.20.3.2:3307"


def test_the_environment_leads_through_the_sidecar() -> None:
    (pod, gateway) = pods_of(workload("a", "a", HTTP, environment={"STAR_COLOR": "red", "PORT": "1"}))
    environment = app_environment(pod)
    assert environment["STAR_COLOR"] == "red"
    assert environment["http_proxy"] == environment["HTTP_PROXY"] == "http://127.20.1.2:15080"
    assert environment["no_proxy"] == "127.0.0.1,localhost"
    assert (environment["BIND_ADDRESS"], environment["PORT"]) == ("127.0.0.1", str(pod.app_port))
    assert "http_proxy" not in app_environment(gateway)


def test_options_are_checked() -> None:
    with pytest.raises(BadOption, match="there is no such workload; known are a, istio-ingressgateway"):
        pods_of(workload("a", "a"), proxy_for={"b": "envoy"})
    with pytest.raises(BadOption, match="is not WORKLOAD=PROXY"):
        parse_proxy_for(["envoy"])
    with pytest.raises(BadOption, match="choose python or envoy"):
        parse_proxy_for(["a=nginx"])
    with pytest.raises(BadOption, match="--proxy: 'x' is not a proxy"):
        check_proxy("x", "--proxy")
    assert parse_proxy_for(["a=envoy", "b=python"]) == {"a": "envoy", "b": "python"}
    with pytest.raises(BadOption, match="the lab holds 198"):
        pods_of(*(workload(f"w{n}", "a") for n in range(199)))


def test_numbers_are_used_again() -> None:
    assert next_pod_number([]) == 1
    assert next_pod_number([1, 2, 4]) == 3
