from __future__ import annotations

import pytest

from lugsail.lab.containers import discovery
from lugsail.lab.containers.discovery import Container
from lugsail.lab.containers.mesh import observer_urls
from tests.lugsail.lab.containers.engine_answers import containers, control_plane, gateway, listed, pod


def test_a_pod_is_who_shares_a_network_namespace() -> None:
    view = discovery.view("bookinfo", containers(control_plane(), gateway(), *pod("reviews-v1"), *pod("ratings-v1")))
    assert [each.name for each in view.workloads] == ["ratings-v1", "reviews-v1", "istio-ingressgateway"]
    reviews = view.workload("reviews-v1.default")
    assert reviews is not None
    assert reviews.ip == "172.18.0.7"
    assert [part.name for part in reviews.parts] == [f"bookinfo-reviews-v1{part}-1" for part in ("-pod", "", "-proxy")]
    assert (reviews.proxy_kind, reviews.state) == ("python", "ready")
    assert reviews.init is not None
    assert view.workload("reviews-v1.other") is None


def test_the_gateway_is_its_own_proxy() -> None:
    view = discovery.view("bookinfo", containers(control_plane(), gateway()))
    found = view.gateway
    assert found is not None
    assert found.is_gateway
    assert (found.namespace, found.proxy_kind, found.app) == ("istio-system", "envoy", None)
    assert found.head.published == {8080: ("127.0.0.1", 18080)}


def test_a_client_without_a_sidecar_and_a_program_with_an_injected_one() -> None:
    alone = listed("plain-client", labels={"app": "plain"})
    program = listed("hello-v1", labels={"lugsail.io/workload": "hello-v1"})
    sidecar = listed("x", "proxy", network_mode="container:id-hello-v1", labels={"lugsail.io/proxy": "envoy"})
    view = discovery.view("bookinfo", containers(alone, program, sidecar, listed("database")))
    assert [each.name for each in view.workloads] == ["hello-v1", "plain-client"]
    hello, plain = view.workloads
    assert hello.proxy is not None
    assert hello.proxy_kind == "envoy"
    assert (plain.proxy, plain.proxy_kind, plain.app) == (None, "", plain.head)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "reviews-v1"),
        ({"com.docker.compose.container-number": "1"}, "reviews-v1"),
        ({"com.docker.compose.container-number": "3"}, "reviews-v1-3"),
        ({"lugsail.io/workload": "mine"}, "mine"),
    ],
)
def test_workload_names(labels: dict[str, str], expected: str) -> None:
    assert discovery.workload_name(Container.read(listed("reviews-v1-pod", "pod", labels=labels))) == expected


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        ("running", "Up 3 minutes", "ready"),
        ("running", "Up 3 minutes (healthy)", "ready"),
        ("running", "Up 1 second (health: starting)", "starting"),
        ("running", "Up 3 minutes (unhealthy)", "unhealthy"),
        ("paused", "Up 3 minutes (Paused)", "paused"),
        ("exited", "Exited (137) 2 seconds ago", "exited"),
        ("restarting", "Restarting (1) 1 second ago", "restarting"),
    ],
)
def test_states(state: str, status: str, expected: str) -> None:
    item = pod("reviews-v1", proxy={"state": state, "status": status})
    view = discovery.view("bookinfo", containers(*item))
    assert view.workloads[0].state == expected


def test_of_two_containers_of_a_part_the_running_one_counts() -> None:
    """A recreated container beside the old one, which compose is about to remove."""
    old = listed("old", "app", "exited", network_mode="container:id-reviews-v1-pod")
    view = discovery.view("bookinfo", containers(old, *pod("reviews-v1")))
    assert view.workloads[0].app is not None
    assert view.workloads[0].app.is_running


def test_meshes_by_whether_their_control_plane_runs() -> None:
    other = control_plane(labels={"com.docker.compose.project": "other"}, state="exited")
    assert discovery.meshes(containers(control_plane(), other, *pod("reviews-v1"))) == {
        "bookinfo": True,
        "other": False,
    }


def test_what_watches_the_mesh_is_no_workload() -> None:
    published = [{"IP": "127.0.0.1", "PrivatePort": 16686, "PublicPort": 26686, "Type": "tcp"}]
    tracing = listed("tracing", "tracing", labels={"app": "tracing", "lugsail.io/ports": "ui:16686"}, ports=published)
    metrics = listed("metrics", "metrics", labels={"app": "metrics"})
    view = discovery.view("bookinfo", containers(control_plane(), metrics, tracing, *pod("reviews-v1")))
    assert [each.name for each in view.workloads] == ["reviews-v1"]
    assert [each.role for each in view.observers] == ["tracing", "metrics"]
    assert observer_urls(view) == {"tracing": "http://127.0.0.1:26686/"}
