"""Captured traffic, for both proxies alike: the clients are a curl and a socket that know of no mesh."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.interception.pods import HTTP_PORT, PROBERS, TCP_PORT, Mesh, Pod, until

pytestmark = pytest.mark.e2e

REVIEWS = "reviews.default.svc.cluster.local"


@pytest.fixture
def client(mesh: Mesh) -> Pod:
    return mesh.pods["client"]


@pytest.fixture
def v1(mesh: Mesh) -> Pod:
    return mesh.pods["reviews-v1"]


@pytest.fixture
def applied(mesh: Mesh) -> Iterator[Any]:
    """Applies resources for one case."""
    used: list[dict[str, Any]] = []

    def apply(*resources: dict[str, Any]) -> None:
        used.extend(resources)
        mesh.apply(*resources)

    yield apply
    mesh.delete(*used)


def logged(mesh: Mesh, pod: Pod, pattern: str) -> re.Match[str]:
    """The access-log line that matches, once it is written."""
    return until(lambda: re.search(pattern, mesh.log(pod)), f"{pattern} in {pod.name}'s log")


def routing() -> tuple[dict[str, Any], dict[str, Any]]:
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]

    def to(subset: str) -> list[dict[str, Any]]:
        return [{"destination": {"host": REVIEWS, "subset": subset}}]

    http = [{"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": to("v2")}, {"route": to("v1")}]
    meta = {"name": "reviews", "namespace": "default"}
    return (
        {"kind": "DestinationRule", "metadata": meta, "spec": {"host": REVIEWS, "subsets": subsets}},
        {"kind": "VirtualService", "metadata": meta, "spec": {"hosts": [REVIEWS], "http": http}},
    )


def registry_only() -> dict[str, Any]:
    spec = {"workloadSelector": {"labels": {"app": "client"}}, "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    spec["egress"] = [{"hosts": ["*/*"]}]
    return {"kind": "Sidecar", "metadata": {"name": "client", "namespace": "default"}, "spec": spec}


@pytest.mark.parametrize("host", ["reviews", "reviews.default", REVIEWS, f"reviews:{HTTP_PORT}"])
def test_http_by_host_goes_through_both_sidecars(mesh: Mesh, client: Pod, host: str) -> None:
    path = f"/by-host/{host}"
    answer = client.curl(f"http://{mesh.vip('reviews')}:{HTTP_PORT}{path}", "-H", f"Host: {host}")
    server = mesh.pods[answer.seen["app"]]
    assert answer.seen["peer"] == "127.0.0.6", "the app is called by its own sidecar"
    assert "x-request-id" in {name.lower() for name in answer.seen["headers"]}
    line = re.escape(path) + r" .*"
    logged(
        mesh, client, line + re.escape(f"outbound|{HTTP_PORT}||{REVIEWS}") + f".* {mesh.vip('reviews')}:{HTTP_PORT} "
    )
    # The inbound side: to the app from 127.0.0.6, and the address that the client's sidecar called.
    logged(mesh, server, line + rf"inbound\|{HTTP_PORT}\|\| 127\.0\.0\.6:\d+ {re.escape(server.ip)}:{HTTP_PORT} ")


@pytest.mark.parametrize("mesh", ["python"], indirect=True)
def test_istio_metrics_count_both_sides(mesh: Mesh, client: Pod) -> None:
    """The stock Envoy has no Istio filter: what it counts is looked at below."""
    answer = client.curl(f"http://{mesh.vip('reviews')}:{HTTP_PORT}/metrics-of-both", "-H", "Host: reviews")
    assert answer.status == 200

    def counted(reporter: str, *pods: Pod) -> bool:
        lines = [pod.stats(f'istio_requests_total{{reporter="{reporter}"') for pod in pods]
        return any(f'destination_service="{REVIEWS}"' in one for one in lines)

    until(lambda: counted("source", client), "the client's side")  # requests are counted many at a time
    servers = [mesh.pods[name] for name in ("reviews-v1", "reviews-v2")]
    until(lambda: counted("destination", *servers), "the server's side")


def test_envoys_own_counts_move(mesh: Mesh, client: Pod) -> None:
    client.curl(f"http://{mesh.vip('reviews')}:{HTTP_PORT}/", "-H", "Host: reviews")
    name = f'envoy_cluster_upstream_rq_total{{envoy_cluster_name="outbound|{HTTP_PORT}||{REVIEWS}"}}'
    assert int(client.stats(name).rsplit(" ", 1)[1]) > 0


def test_header_routing(mesh: Mesh, client: Pod, applied: Any) -> None:
    applied(*routing())
    url = f"http://{mesh.vip('reviews')}:{HTTP_PORT}/routed"
    assert {client.curl(url, "-H", "Host: reviews").seen["app"] for _ in range(6)} == {"reviews-v1"}
    jason = {client.curl(url, "-H", "Host: reviews", "-H", "end-user: jason").seen["app"] for _ in range(6)}
    assert jason == {"reviews-v2"}


def test_unknown_traffic_passes_through(mesh: Mesh, client: Pod) -> None:
    seen = client.curl(f"http://{mesh.net.ip}:8000/unknown").seen
    assert (seen["app"], seen["peer"]) == ("outside", client.ip)
    assert client.talk(mesh.net.ip, 8001).startswith("I am outside")
    logged(mesh, client, re.escape(f"PassthroughCluster {client.ip}:") + rf"\d+ {re.escape(mesh.net.ip)}:8001")


def test_unknown_hosts_of_a_known_port_pass_through(mesh: Mesh, client: Pod) -> None:
    """9080 has an HTTP listener of its own: its catch-all route leads to the original destination."""
    answer = client.curl(f"http://{mesh.pods['plain'].ip}:{HTTP_PORT}/elsewhere", "-H", "Host: elsewhere.example")
    assert answer.seen["app"] == "plain"


def test_registry_only_lets_nothing_unknown_out(mesh: Mesh, client: Pod, applied: Any) -> None:
    applied(registry_only())
    refused = client.curl(f"http://{mesh.net.ip}:8000/unknown")
    # 52: closed; 56: closed before what was sent could be read.
    assert refused.status == 0 and refused.exit in (52, 56), "a plain connection is closed: BlackHoleCluster"
    assert "I am" not in client.talk(mesh.net.ip, 8001)
    answer = client.curl(f"http://{mesh.pods['plain'].ip}:{HTTP_PORT}/x", "-H", "Host: elsewhere.example")
    assert answer.status == 502, "HTTP on a known port has an answer: block_all"
    known = client.curl(f"http://{mesh.vip('reviews')}:{HTTP_PORT}/known", "-H", "Host: reviews")
    assert known.status == 200
    assert client.talk(mesh.vip("reviews"), TCP_PORT).startswith("I am reviews")


def test_plain_tcp_by_virtual_address(mesh: Mesh, client: Pod) -> None:
    said = client.talk(mesh.vip("reviews"), TCP_PORT, "echo this")
    assert re.fullmatch(r"I am reviews-v[12], you are 127\.0\.0\.6\necho this", said), said
    logged(mesh, client, re.escape(f"outbound|{TCP_PORT}||{REVIEWS}"))


@pytest.mark.parametrize("host", ["reviews", "reviews.default", REVIEWS])
def test_names_of_the_mesh(mesh: Mesh, client: Pod, host: str) -> None:
    assert client.curl(f"http://{host}:{HTTP_PORT}/by-name/{host}").seen["app"].startswith("reviews-")
    logged(mesh, client, rf"/by-name/{re.escape(host)} .*" + re.escape(f"outbound|{HTTP_PORT}||{REVIEWS}"))
    assert client.talk(host, TCP_PORT).startswith("I am reviews")


def test_names_of_the_world(mesh: Mesh, client: Pod) -> None:
    """The agent asks the pod's own resolver, over and over from new ports, and never itself."""
    for number in range(20):
        assert client.curl(f"http://n{number}.world.test:8000/").seen["app"] == "outside"
    assert client.curl("http://nowhere.test:8000/").exit == 6, "a name that nobody knows stays unknown"
    assert mesh.pods["plain"].curl("http://plain.world.test:8000/").seen["app"] == "outside"


def test_a_host_without_an_address_gets_one(mesh: Mesh, client: Pod, applied: Any) -> None:
    spec = {
        "hosts": ["database.example"],
        "ports": [{"number": 8001, "name": "tcp", "protocol": "TCP"}],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "endpoints": [{"address": mesh.net.ip}],
    }
    applied({"kind": "ServiceEntry", "metadata": {"name": "database", "namespace": "default"}, "spec": spec})
    until(lambda: client.talk("database.example", 8001).startswith("I am outside"), "the host answers")
    logged(mesh, client, r"outbound\|8001\|\|database\.example .* 240\.240\.\d+\.\d+:8001")


def test_the_app_and_itself(mesh: Mesh, client: Pod) -> None:
    by_localhost = client.curl(f"http://127.0.0.1:{HTTP_PORT}/health").seen
    assert by_localhost["peer"] == "127.0.0.1", "straight to the app, as its own health check must be"
    by_address = client.curl(f"http://{client.ip}:{HTTP_PORT}/self").seen
    assert by_address["peer"] == client.ip, "straight to the app"
    by_service = client.curl(f"http://{mesh.vip('client')}:{HTTP_PORT}/service").seen
    assert (by_service["app"], by_service["peer"]) == ("client", "127.0.0.6"), "out and in again"
    logged(mesh, client, rf"/service .*inbound\|{HTTP_PORT}\|\|")
    assert client.talk("127.0.0.1", TCP_PORT).startswith("I am client, you are 127.0.0.1")
    assert client.talk(mesh.vip("client"), TCP_PORT).startswith("I am client, you are 127.0.0.6")


def test_a_client_without_a_sidecar(mesh: Mesh, v1: Pod) -> None:
    plain = mesh.pods["plain"]
    seen = plain.curl(f"http://{v1.ip}:{HTTP_PORT}/plain").seen
    assert (seen["app"], seen["peer"]) == ("reviews-v1", "127.0.0.6")
    logged(mesh, v1, rf"/plain .*inbound\|{HTTP_PORT}\|\| .*{re.escape(plain.ip)}:\d+ ")
    assert plain.talk(v1.ip, TCP_PORT).startswith("I am reviews-v1, you are 127.0.0.6")


def test_a_port_that_no_service_names(mesh: Mesh) -> None:
    """InboundPassthroughCluster leads on to the app; nobody listening there is an answer, not a loop."""
    plain, v2 = mesh.pods["plain"], mesh.pods["reviews-v2"]
    answer = plain.curl(f"http://{v2.ip}:7777/nobody")
    assert answer.status == 503, answer
    logged(mesh, v2, r"/nobody .* 503 .*InboundPassthroughCluster")


@pytest.mark.parametrize("port", [15001, 15006])
def test_the_proxys_own_ports_do_not_loop(mesh: Mesh, client: Pod, v1: Pod, port: int) -> None:
    def total() -> int:
        lines = [client.stats("envoy_listener_downstream_cx_total"), v1.stats("envoy_listener_downstream_cx_total")]
        return sum(int(line.rsplit(" ", 1)[1]) for page in lines for line in page.splitlines() if "_150" in line)

    before = total()
    askers = (mesh.pods["plain"], v1.ip), (client, "127.0.0.1"), (client, client.ip), (client, v1.ip)
    for pod, address in askers:
        answer = pod.curl(f"http://{address}:{port}/loop", "-m", "5")
        assert answer.status in (0, 503), answer
        assert answer.exit != 28, "no answer in time: it went round"
    assert total() - before < 20


def test_excluded_ports_and_ranges(mesh: Mesh, client: Pod, v1: Pod) -> None:
    rules = client.run("iptables-save", "-t", "nat", uid=0).stdout
    assert "--dport 8443 -j RETURN" in rules, "-o"
    mesh.net.run("ip", "addr", "add", f"{mesh.subnet}.240/24", "dev", "bridge0", uid=0)
    code = "import http.server as h; h.HTTPServer(('', 8443), h.SimpleHTTPRequestHandler).serve_forever()"
    server = mesh.spawn_python("world", mesh.net, code)
    try:
        # Whether the proxy saw it is told by its log: excluded traffic is in none.
        until(lambda: client.curl(f"http://{mesh.net.ip}:8443/excluded-port").status == 404, "the world is there")
        until(lambda: client.curl(f"http://{mesh.subnet}.240:8443/").status in (200, 404), "its other address, too")
        client.talk(mesh.net.ip, 8001)
        logged(mesh, client, rf"{re.escape(mesh.net.ip)}:8001")
        assert ":8443" not in mesh.log(client)
    finally:
        server.terminate()
        server.wait()
    inbound = v1.run("iptables-save", "-t", "nat", uid=0).stdout
    assert "--dport 9443 -j RETURN" in inbound
    answer = mesh.pods["plain"].curl(f"http://{v1.ip}:9443/")
    assert (answer.status, answer.exit) == (0, 7), "refused by the pod itself: no proxy took the connection"


def test_an_excluded_range(mesh: Mesh, client: Pod, applied: Any) -> None:
    """Under REGISTRY_ONLY what goes through the proxy is refused, and what is excluded is not."""
    applied(registry_only())
    mesh.net.run("ip", "addr", "replace", f"{mesh.subnet}.240/24", "dev", "bridge0", uid=0)
    server = mesh.spawn_python("range", mesh.net, _WORLD.format(address=f"{mesh.subnet}.240"))
    try:
        until(lambda: client.curl(f"http://{mesh.subnet}.240:8000/").status == 501, "the excluded range answers")
    finally:
        server.terminate()
        server.wait()
    assert client.curl(f"http://{mesh.net.ip}:8000/").status == 0


_WORLD = "import http.server as h; h.HTTPServer(('{address}', 8000), h.BaseHTTPRequestHandler).serve_forever()"


def test_health_checks_of_the_app_from_outside(mesh: Mesh, v1: Pod) -> None:
    ask = mesh.pods["plain"].curl
    answers = {path: ask(f"http://{v1.ip}:15020{path}") for path in PROBERS}
    assert [answer.status for answer in answers.values()] == [200, 200, 404, 503]
    assert answers["/app-health/app/livez"].seen["path"] == "/live"
    assert ask(f"http://{v1.ip}:15020/app-health/app/other").status == 404


def test_readiness_asks_the_app_too(mesh: Mesh, v1: Pod) -> None:
    ask = mesh.pods["plain"].curl
    base = f"http://{v1.ip}:15020/healthz/ready"
    assert ask(base).status == ask(f"{base}?ports={HTTP_PORT},{TCP_PORT}").status == 200
    closed = ask(f"{base}?ports={HTTP_PORT},9999")
    assert (closed.status, closed.body) == (503, "the app takes no connections on 9999 yet\n")
    assert ask(f"{base}?ports=0").status == ask(f"{base}?ports=x").status == 400
    assert ask(f"http://{v1.ip}:15021/healthz/ready").status == 200


def test_metrics_of_app_and_proxy_on_one_page(mesh: Mesh, v1: Pod) -> None:
    page = mesh.pods["plain"].curl(f"http://{v1.ip}:15020/stats/prometheus").body
    assert "app_answers_total 7" in page
    assert "envoy_cluster_upstream_rq_total" in page
    assert "# EOF" not in page
    assert mesh.pods["plain"].curl(f"http://{v1.ip}:15090/stats/prometheus").status == 200


def test_the_admin_page_is_for_the_pod_alone(mesh: Mesh, v1: Pod) -> None:
    assert "virtualInbound" in v1.curl("http://127.0.0.1:15000/listeners").body
    assert v1.curl("http://127.0.0.1:15000/config_dump").status == 200
    assert v1.curl(f"http://{v1.ip}:15000/").exit == 7


def test_what_changes_the_pod_is_not_for_others(mesh: Mesh, v1: Pod) -> None:
    for path in ("/quitquitquit", "/drain"):
        assert mesh.pods["plain"].curl(f"http://{v1.ip}:15020{path}", "-X", "POST").status == 403
        assert v1.curl(f"http://127.0.0.1:15020{path}").status == 405
    assert mesh.pods["plain"].curl(f"http://{v1.ip}:15000/quitquitquit", "-X", "POST").status == 503


def test_rules_twice_are_rules_once(mesh: Mesh) -> None:
    pod = mesh.pods["reviews-v2"]

    def rules() -> str:
        saved = pod.run("iptables-save", uid=0).stdout
        return "\n".join(line for line in saved.splitlines() if line.startswith("-A "))

    before = rules()
    assert "ISTIO_OUTPUT" in before
    mesh.intercept(pod)
    assert rules() == before


def test_without_a_control_plane_traffic_goes_on(mesh: Mesh, client: Pod) -> None:
    mesh.processes["control-plane"].send_signal(signal.SIGSTOP)
    try:
        answer = client.curl(f"http://{mesh.vip('reviews')}:{HTTP_PORT}/alone", "-H", "Host: reviews")
        assert answer.status == 200
    finally:
        mesh.processes["control-plane"].send_signal(signal.SIGCONT)


def test_a_new_address_under_a_living_agent(mesh: Mesh) -> None:
    """Its network is taken and given back with another address: pages, both directions and xDS are there again."""
    pod, plain = mesh.pods["reviews-v2"], mesh.pods["plain"]
    old, new = pod.ip, f"{mesh.subnet}.99"
    pod.run("ip", "link", "set", "eth0", "down", uid=0)
    pod.run("ip", "link", "set", "eth0", "up", uid=0)
    try:
        mesh.connect(pod, new)
        ready = f"http://{new}:15020/healthz/ready?ports={HTTP_PORT}"
        until(lambda: plain.curl(ready).status == 200, "readiness at the new address")
        assert plain.curl(f"http://{new}:15021/healthz/ready").status == 200
        assert plain.curl(f"http://{new}:15090/stats/prometheus").status == 200
        assert plain.curl(f"http://{new}:{HTTP_PORT}/moved").seen["app"] == "reviews-v2"
        assert pod.curl(f"http://{mesh.net.ip}:8000/moved").seen["peer"] == new
        until(lambda: mesh.connected(pod), "the stream to the control plane", limit_s=30)
    finally:
        mesh.connect(pod, old)
        until(lambda: mesh.connected(pod), "the stream to the control plane", limit_s=30)


def test_draining_and_quitting(mesh: Mesh, client: Pod) -> None:
    """Last, for the pod is gone after it."""
    pod, plain = mesh.pods["reviews-v2"], mesh.pods["plain"]
    assert pod.curl("http://127.0.0.1:15020/drain", "-X", "POST").status == 200
    ready = f"http://{pod.ip}:15020/healthz/ready"
    until(lambda: plain.curl(ready).status == 503, "a draining pod is not ready")
    out = pod.curl(f"http://{mesh.net.ip}:8000/while-draining")
    assert out.status == 200, "what the app sends still goes out"
    assert pod.curl("http://127.0.0.1:15020/quitquitquit", "-X", "POST").status == 200
    process = mesh.processes["reviews-v2-proxy"]
    assert process.wait(10) == 0
    assert plain.curl(ready).exit == 7
    mesh.run_sidecar(pod)
    until(lambda: plain.curl(f"{ready}?ports={HTTP_PORT}").status == 200, "a new proxy in the same pod")
    assert plain.curl(f"http://{pod.ip}:{HTTP_PORT}/again").seen["app"] == "reviews-v2"
