"""Which running containers get a sidecar, what it is, and what is cleaned away."""

from dataclasses import replace

import pytest

from controlplane.injector.container import (
    Rules,
    World,
    containers_for,
    decide,
    enabled_networks,
    leftovers,
    plan,
    workload_of,
)
from tests.controlplane.injector.worlds import NETWORK, compose, seen, sidecar_of, world

RULES = Rules("cp")
ASKS = {"lugsail.io/inject": "true", "app": "web"}


def names(containers: object) -> list[str]:
    return [getattr(each, "container", each).name for each in containers]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("labels", "changes", "inject", "reason"),
    [
        (ASKS, {}, True, "label lugsail.io/inject=true"),
        ({"sidecar.istio.io/inject": "true"}, {}, True, "label sidecar.istio.io/inject=true"),
        ({"app": "web"}, {}, False, "nothing asks for one; label lugsail.io/inject=true would"),
        ({**ASKS, "sidecar.istio.io/inject": "false"}, {}, False, "label sidecar.istio.io/inject=false"),
        ({"lugsail.io/inject": "false"}, {}, False, "label lugsail.io/inject=false"),
        ({**ASKS, "lugsail.io/role": "pod"}, {}, False, "part of the mesh: label lugsail.io/role=pod"),
        (ASKS, {"mode": "container:id-other", "networks": {}}, False, "shares the network of container other"),
        (ASKS, {"mode": "host"}, False, "its network is host"),
        (ASKS, {"mode": "none", "networks": {}}, False, "its network is none"),
        ({**ASKS, "com.docker.compose.oneoff": "True"}, {}, False, "`docker compose run` made it"),
        ({**ASKS, "lugsail.io/proxy": "nginx"}, {}, False, "lugsail.io/proxy: 'nginx': choose python or envoy"),
    ],
)
def test_who_gets_a_sidecar_and_why_not(
    labels: dict[str, str], changes: dict[str, object], inject: bool, reason: str
) -> None:
    app = seen("web", labels, **changes)
    verdict = decide(app.container, world(app, seen("other")), RULES)
    assert verdict.inject is inject
    assert reason in verdict.reason


def test_a_label_on_the_network_asks_for_all_in_it() -> None:
    app = seen("web", compose("web"))
    assert decide(app.container, world(app, networks=frozenset({NETWORK})), RULES).reason == (
        "network shop_default has label istio-injection=enabled"
    )
    assert not decide(app.container, world(app, networks=frozenset({"another"})), RULES).inject
    rows = [{"Id": "a", "Labels": {"istio-injection": "enabled"}}, {"Id": "b", "Labels": None}, {"Id": "c"}]
    assert enabled_networks(rows) == {"a"}


def test_a_label_on_one_container_asks_for_its_whole_project() -> None:
    one, other = seen("a", compose("a", **{"istio-injection": "enabled"})), seen("b", compose("b"))
    stranger = seen("c", {"com.docker.compose.project": "elsewhere"})
    everyone = world(one, other, stranger)
    assert [decide(each.container, everyone, RULES).inject for each in (one, other, stranger)] == [True, True, False]
    opted_out = seen("d", compose("d", **{"sidecar.istio.io/inject": "false"}))
    assert not decide(opted_out.container, world(one, opted_out), RULES).inject


def test_a_container_that_the_control_plane_cannot_be_reached_from_is_left_alone_with_the_fix() -> None:
    app = seen("web", ASKS)
    verdict = decide(app.container, world(app), replace(RULES, networks=frozenset({"far"})))
    assert (verdict.inject, verdict.problem) == (False, True)
    assert "docker network connect NETWORK web" in verdict.reason
    assert decide(app.container, world(app), replace(RULES, networks=frozenset({NETWORK}))).inject


def test_the_scope_of_a_project() -> None:
    app = seen("web", {**compose("web"), **ASKS})
    assert decide(app.container, world(app), replace(RULES, project="shop")).inject
    assert not decide(app.container, world(app), replace(RULES, project="other")).inject


def test_each_app_gets_one_sidecar() -> None:
    app = seen("web", ASKS)
    assert names(plan(world(app), RULES).create) == ["web"]
    with_sidecar = world(app, sidecar_of(app))
    assert plan(with_sidecar, RULES).create == ()
    assert plan(with_sidecar, RULES).remove == ()
    # Docker's restart policy is about to start it again.
    assert plan(world(app, sidecar_of(app, status="restarting")), RULES).create == ()


@pytest.mark.parametrize("status", ["exited", "created", "dead"])
def test_a_sidecar_that_does_not_run_is_replaced(status: str) -> None:
    app = seen("web", ASKS)
    dead = sidecar_of(app, status=status)
    assert names(plan(world(app, dead), RULES).create) == ["web"]
    assert names(leftovers(app.container, world(app, dead))) == ["web-proxy"]


def test_an_app_that_was_restarted_has_a_new_network_and_gets_a_new_sidecar() -> None:
    before = seen("web", ASKS)
    after = seen("web", ASKS, started="2026-11-21T11:00:00Z")
    assert names(plan(world(after, sidecar_of(before)), RULES).create) == ["web"]


def test_an_init_container_alone_is_no_sidecar() -> None:
    app = seen("web", ASKS)
    assert names(plan(world(app, sidecar_of(app, role="init", status="exited")), RULES).create) == ["web"]


def test_a_sidecar_by_hand_is_respected() -> None:
    app = seen("web", ASKS)
    by_hand = seen("mine", {"lugsail.io/role": "proxy"}, mode="container:id-web", networks={})
    assert plan(world(app, by_hand), RULES).create == ()


def test_what_another_control_plane_injected_stays_while_it_serves() -> None:
    app = seen("web", ASKS)
    assert plan(world(app, sidecar_of(app, by="other")), RULES) == replace(
        plan(world(app, sidecar_of(app)), RULES), create=(), remove=()
    )
    orphan = sidecar_of(seen("gone"), by="other")
    assert plan(world(orphan), RULES).remove == ()


@pytest.mark.parametrize("status", ["exited", "created", "dead", "removing"])
def test_the_sidecar_of_an_app_that_stopped_is_removed(status: str) -> None:
    app = seen("web", ASKS, status=status)
    found = plan(world(app, sidecar_of(app)), RULES)
    assert names(found.remove) == ["web-proxy"]
    assert found.create == ()


def test_the_sidecar_of_an_app_that_is_gone_is_removed() -> None:
    assert names(plan(world(sidecar_of(seen("web", ASKS))), RULES).remove) == ["web-proxy"]


def test_a_container_made_anew_under_the_same_name_finds_its_names_free() -> None:
    app = seen("web", ASKS, id="id-new")
    old = sidecar_of(seen("web", ASKS, id="id-old"), by="another control plane")
    assert names(leftovers(app.container, world(app, old, seen("web-init")))) == ["web-proxy"]


def test_a_paused_app_keeps_its_sidecar() -> None:
    app = seen("web", ASKS, status="paused")
    assert plan(world(app, sidecar_of(app)), RULES).remove == ()


def test_who_is_worked_on_is_left_alone() -> None:
    app, gone = seen("web", ASKS), sidecar_of(seen("gone", ASKS))
    found = plan(world(app, gone), RULES, busy={"id-web", "id-gone"})
    assert (found.create, found.remove) == ((), ())


def test_the_init_container_and_the_sidecar() -> None:
    labels = {
        **compose("web"),
        **ASKS,
        "version": "v1",
        "lugsail.io/ports": "http:8000",
        "lugsail.io/service-account": "shop-web",
        "traffic.sidecar.istio.io/excludeOutboundPorts": "3306",
    }
    app = seen("shop-web-1", labels)
    verdict = decide(app.container, world(app), RULES)
    init, proxy = containers_for(verdict, RULES, "control-plane:15010")
    assert (init.name, proxy.name) == ("shop-web-1-init", "shop-web-1-proxy")
    assert init.network_mode == proxy.network_mode == "container:id-shop-web-1"
    assert (init.user, init.cap_add) == ("0:0", ("NET_ADMIN", "NET_RAW"))
    assert (proxy.user, proxy.cap_add, proxy.read_only) == ("1337:1337", (), True)
    assert "-o 3306" in " ".join(init.command)
    assert "--redirect-dns" in init.command
    command = " ".join(proxy.command)
    assert "--workload web --namespace default --ip auto --labels app=web,version=v1" in command
    assert "--service-account shop-web --discovery control-plane:15010" in command
    assert proxy.labels["lugsail.io/pod"] == "web"
    assert proxy.labels["lugsail.io/injected-by"] == "cp"
    # What docker-compose 1.29 and Compose v2 read of every container of a project.
    assert proxy.labels["com.docker.compose.project"] == "shop"
    assert proxy.labels["com.docker.compose.service"] == "web-proxy"
    assert proxy.labels["com.docker.compose.container-number"] == "1"
    assert proxy.labels["com.docker.compose.oneoff"] == "False"


def test_the_sidecar_that_was_made_is_the_one_that_is_found() -> None:
    app = seen("web", ASKS)
    _, proxy = containers_for(decide(app.container, world(app), RULES), RULES, "cp:15010")
    made = seen(proxy.name, dict(proxy.labels), mode=proxy.network_mode, networks={})
    assert plan(world(app, made), RULES) == plan(world(app, sidecar_of(app)), RULES)


def test_envoy_and_no_interception() -> None:
    app = seen("web", {**ASKS, "lugsail.io/proxy": "envoy", "sidecar.istio.io/interceptionMode": "NONE"})
    (proxy,) = containers_for(decide(app.container, world(app), RULES), RULES, "cp:15010")
    assert proxy.image == "lugsail/envoy"
    assert "--dns-capture" not in proxy.command
    (_, other) = containers_for(
        decide(seen("b", ASKS).container, World(()), replace(RULES, proxy="envoy")), RULES, "cp:15010"
    )
    assert "envoy" in other.command


@pytest.mark.parametrize(
    ("labels", "name", "expected"),
    [
        (compose("reviews-v1"), "shop-reviews-v1-1", "reviews-v1"),
        (compose("reviews-v1", 3), "shop-reviews-v1-3", "reviews-v1-3"),
        ({}, "by-hand", "by-hand"),
        ({"lugsail.io/workload": "named"}, "x", "named"),
    ],
)
def test_workload_names(labels: dict[str, str], name: str, expected: str) -> None:
    assert workload_of(seen(name, labels).container) == expected
