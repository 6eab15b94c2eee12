"""What Engine 20.10 says of containers, read."""

import pytest

from controlplane.sources.docker_containers import after_event, concerns, nanoseconds, parse_container
from tests.controlplane.sources.engine import RECORDED, plain


def test_a_recorded_pod():
    made = {kind: parse_container(RECORDED[kind]) for kind in ("pod", "init", "proxy", "app")}
    assert {kind: c.role for kind, c in made.items()} == {kind: kind for kind in made}
    assert {c.owner for kind, c in made.items() if kind != "pod"} == {made["pod"].id} and made["pod"].owner == ""
    assert made["pod"].default_workload == "reviews-v3" and made["pod"].project == "bookinfo"
    ((name, network, address),) = made["pod"].networks
    assert name == "bookinfo_default" and len(network) == 64 and address.count(".") == 3
    assert made["proxy"].health == "healthy" and made["pod"].health == ""
    assert made["proxy"].serves and not made["init"].serves, "the init container has ended"
    assert (made["app"].number, made["app"].is_one_off) == (1, False)


@pytest.mark.parametrize(
    ("state", "serves"),
    [
        ({}, True),
        ({"Running": False}, False),
        ({"Paused": True}, False),
        ({"Restarting": True}, False),
        ({"Health": {"Status": "unhealthy"}}, False),
        ({"Health": {"Status": "unhealthy", "FailingStreak": 3}}, False),
        ({"Health": {"Status": "unhealthy", "FailingStreak": 0}}, True),
        ({"Health": {"Status": "starting"}}, True),
        ({"Health": {"Status": "none"}}, True),
        ({"Health": None}, True),
    ],
)
def test_what_keeps_a_container_from_serving(state, serves):
    data = plain("x")
    data["State"].update(state)
    assert parse_container(data).serves is serves


@pytest.mark.parametrize("number", ["0x2", "-1", "²", "9" * 50, ""])
def test_a_hostile_container_number_is_the_first(number):
    assert parse_container(plain("x", **{"com.docker.compose.container-number": number})).number == 1


def test_a_container_without_labels_or_networks():
    data = plain("x")
    data["Config"]["Labels"] = None
    data["NetworkSettings"] = {"Networks": None}
    assert parse_container(data).label_map == {} and parse_container(data).networks == ()


@pytest.mark.parametrize("data", [{}, {"Id": "x", "State": None, "Config": {}}, {"State": [], "Config": {}, "Id": "x"}])
def test_what_is_no_container_raises_as_documented(data):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        parse_container(data)


def test_rows_that_may_matter():
    assert concerns({"Labels": {"lugsail.io/ports": "x"}, "HostConfig": {"NetworkMode": "x"}})
    assert concerns({"Labels": None, "HostConfig": {"NetworkMode": "container:abc"}})
    assert not concerns({"Labels": {"app": "x"}, "HostConfig": {}}) and not concerns({})


def test_an_event_says_by_itself_that_something_ended():
    made = parse_container(plain("x"))
    started = nanoseconds(made.started_at)
    assert not after_event(made, "die", started + 1).is_running
    assert after_event(made, "die", started - 1) is made, "of an earlier life"
    assert after_event(made, "pause", 0).is_paused
    assert after_event(made, "start", started + 1) is made


def test_times_of_the_engine():
    assert nanoseconds("2026-11-21T10:51:50.224205023Z") == 1795258310_224205023
    assert nanoseconds("2026-11-21T10:51:50.2Z") == 1795258310_200000000
    assert nanoseconds("0001-01-01T00:00:00Z") < 0 and nanoseconds("soon") == 0
