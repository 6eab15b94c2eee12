"""Containers to pods: who belongs together, where it is reached, who wins a contradiction."""

from controlplane.sources.docker_containers import parse_container
from controlplane.sources.docker_pods import Plan, plan_pods
from tests.controlplane.sources.engine import NETWORK, Json, placed, plain, pod, recorded


def plan(*containers: Json, networks: frozenset[str] | None = None) -> Plan:
    return plan_pods([parse_container(c) for c in containers], networks)


def names(made: Plan) -> list[str]:
    return [p.claim.workload for p in made.pods]


def test_a_recorded_gateway_is_asked_by_its_own_health_port():
    (gateway,) = plan(placed(recorded("gateway", "gateway"), "10.0.0.5")).pods
    assert (gateway.claim.workload, gateway.claim.namespace) == ("istio-ingressgateway", "istio-system")
    assert (gateway.target.http_port, gateway.target.path) == (15021, "/healthz/ready")
    assert {(p.name, p.number, p.target) for p in gateway.claim.ports} >= {("http", 80, 8080), ("https", 443, 8443)}


def test_the_control_plane_and_its_likes_are_no_workloads():
    assert plan(recorded("control-plane", "control-plane")).pods == ()
    assert plan(plain("run", **{"com.docker.compose.oneoff": "True"})).pods == ()
    assert plan(plain("client", ports=None)).pods == ()


def test_a_pods_target_is_another_one_after_each_start_of_its_containers():
    containers = pod()
    (before,) = plan(*containers.values()).pods
    containers["app"]["State"]["StartedAt"] = "2026-11-21T11:00:00Z"
    (after,) = plan(*containers.values()).pods
    assert before.target != after.target and before.serves and after.serves
    containers["init"]["State"]["StartedAt"] = "2026-11-21T11:00:00Z"
    assert plan(*containers.values()).pods[0].target == after.target, "an init container serves nobody"


def test_a_pause_keeps_the_target():
    containers = pod()
    (before,) = plan(*containers.values()).pods
    containers["proxy"]["State"]["Paused"] = True
    made = plan(*containers.values())
    assert made.pods[0].target == before.target and not made.pods[0].serves
    assert made.targets == {before.target} and made.serving == frozenset()


def test_an_app_that_owns_the_network_may_get_a_sidecar_later():
    app = plain("web")
    assert plan(app).pods[0].target.http_port == 0
    proxy = recorded("proxy", "web-proxy")
    proxy["HostConfig"]["NetworkMode"] = f"container:{app['Id']}"
    assert plan(app, proxy).pods[0].target.http_port == 15020


def test_where_sidecars_are_injected_nobody_who_asks_for_one_counts_without():
    def ready(*containers: Json) -> dict[str, bool]:
        made = plan_pods([parse_container(c) for c in containers], None, injected=True)
        return {pod.claim.workload: pod.target is not None for pod in made.pods}

    asks = plain("asks", **{"lugsail.io/inject": "true"})
    quiet, refuses = plain("quiet"), plain("refuses", **{"sidecar.istio.io/inject": "false"})
    assert ready(asks, quiet, refuses) == {"asks": False, "quiet": True, "refuses": True}
    enabler = plain("enabler", **{"istio-injection": "enabled"})
    assert ready(quiet, refuses, enabler) == {"quiet": False, "refuses": True, "enabler": False}
    assert plan(asks).pods[0].target is not None, "nobody injects here"
    proxy = recorded("proxy", "asks-proxy")
    proxy["HostConfig"]["NetworkMode"] = f"container:{asks['Id']}"
    assert ready(asks, proxy) == {"asks": True}


def test_the_first_network_within_reach_by_name_counts():
    web = plain("web")
    web["NetworkSettings"]["Networks"] = {
        "z": {"NetworkID": "1", "IPAddress": "10.0.0.1"},
        "b": {"NetworkID": "2", "IPAddress": "10.0.0.2"},
        "a": {"NetworkID": "3", "IPAddress": ""},
    }
    assert plan(web).pods[0].address == "10.0.0.2"
    assert plan(web, networks=frozenset({"1", NETWORK})).pods[0].address == "10.0.0.1"
    far = plan(web, networks=frozenset())
    assert far.pods[0].address == "" and "no address in a network that the control plane is in" in far.warnings[0]


def test_the_older_of_two_that_contradict_counts_and_the_one_that_runs_before_one_that_does_not():
    first, second = plain("first"), plain("second", ports="http:9081")
    first["Created"], second["Created"] = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    made = plan(second, first)
    assert names(made) == ["first"]
    assert made.warnings == (
        "container second: label lugsail.io/ports gives service reviews of namespace default http:9081, but container "
        "first http:9080; it is left out: make them agree",
    )
    first["State"]["Running"] = False
    assert names(plan(second, first)) == ["second"]


def test_each_may_listen_where_it_likes():
    made = plan(plain("a", ports="http:80:8080"), plain("b", ports="http:80:9090"))
    assert names(made) == ["a", "b"] and made.warnings == ()


def test_two_of_one_name():
    made = plan(plain("a"), plain("b", workload="a"))
    assert names(made) == ["a"]
    assert made.warnings[0].startswith("container b: container a is workload a of namespace default already")
    gone = plain("b", workload="a")
    gone["State"]["Running"] = False
    assert plan(plain("a"), gone).warnings == (), "what is being replaced is nothing to warn of"
