from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from lugsail.cli.output import as_yaml, duration, table
from tests.lugsail.cli.conftest import Cli
from tests.lugsail.fake_control_plane import FakeControlPlane, Resource


def stored(plane: FakeControlPlane, namespace: str, plural: str, kind: str, name: str, spec: Resource) -> None:
    created = (datetime.now(UTC) - timedelta(hours=3)).isoformat().replace("+00:00", "Z")
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created, "resourceVersion": "1"}
    resource = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    plane.stored[namespace, plural, name] = resource


@pytest.fixture(autouse=True)
def resources(plane: FakeControlPlane) -> None:
    for namespace, name in (("default", "reviews"), ("shop", "cart")):
        spec = {"hosts": [name], "gateways": ["mesh"], "http": [{}, {}]}
        stored(plane, namespace, "virtualservices", "VirtualService", name, spec)
    stored(plane, "default", "destinationrules", "DestinationRule", "r", {"host": "r", "subsets": [{"name": "v1"}]})


def test_a_table(cli: Cli) -> None:
    done = cli("get", "vs")
    assert done.out.splitlines() == [
        "NAME      GATEWAYS   HOSTS       AGE",
        "reviews   [mesh]     [reviews]   3h",
    ]


def test_wide_everywhere_and_several_kinds(cli: Cli) -> None:
    out = cli("get", "vs,dr", "-A", "-o", "wide").out
    assert "shop        cart" in out
    assert "[2 http]" in out
    assert "destinationrules.networking.istio.io" in out
    assert "[v1]" in out


def test_one_by_name_as_yaml_and_lists_as_json(cli: Cli) -> None:
    one = yaml.safe_load(cli("get", "virtualservice", "reviews", "-o", "yaml").out)
    assert one["metadata"]["name"] == "reviews"
    listed = json.loads(cli("get", "virtualservices", "-A", "-o", "json").out)
    assert listed["kind"] == "List"
    assert [item["metadata"]["name"] for item in listed["items"]] == ["reviews", "cart"]
    assert json.loads(cli("get", "gateway", "-o", "json").out)["items"] == []


def test_names(cli: Cli) -> None:
    out = cli("get", "all", "-o", "name").out
    assert out.splitlines() == [
        "virtualservice.networking.istio.io/reviews",
        "destinationrule.networking.istio.io/r",
    ]


def test_what_is_not_there(cli: Cli) -> None:
    done = cli("get", "vs", "nobody")
    assert done.code == 1
    assert done.err == "virtualservice.networking.istio.io/nobody is not there (namespace default)\n"
    done = cli("get", "gateways", "-n", "shop")
    assert (done.code, done.err) == (0, "There is no gateway in the namespace shop.\n")


def test_a_watch_shows_changes(cli: Cli, plane: FakeControlPlane) -> None:
    item = plane.stored["default", "virtualservices", "reviews"]
    plane.watch_events = [{"type": "MODIFIED", "object": item}, {"type": "DELETED", "object": item}]
    done = cli("get", "vs", "-w")
    assert [line.split()[-1] for line in done.out.splitlines()] == ["AGE", "3h", "modified", "deleted"]
    assert done.code == 1
    assert "closed the watch" in done.err


def test_durations() -> None:
    assert [duration(s) for s in (0, 59, 119, 120, 7199, 7200, 172800)] == [
        *("0s", "59s", "119s", "2m", "119m", "2h", "2d")
    ]


def test_tables_align() -> None:
    assert table(["A", "LONG"], [["xyz", 1]]) == "A     LONG\nxyz   1"


def test_yaml_keeps_the_order() -> None:
    assert as_yaml({"b": 1, "a": [1]}) == "b: 1\na:\n- 1"
