from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.lugsail.cli.conftest import Cli
from tests.lugsail.fake_control_plane import FakeControlPlane

REVIEWS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
"""
RULE = """
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: reviews, labels: {team: a}}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
"""
INVALID = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad}
spec:
  hosts: [bad]
  http: [{routes: []}]
"""

ACKED = {"proxy": "a.default", "state": "ACKED", "types": ["RDS"], "ms": 3.14, "error": None}
UNAFFECTED = {"proxy": "b.default", "state": "UNAFFECTED", "types": [], "ms": 1.0, "error": None}
NACKED = {"proxy": "c.default", "state": "NACKED", "types": ["RDS"], "ms": 2.0, "error": "bad regex '('"}


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    path = tmp_path / "reviews.yaml"
    path.write_text(f"{REVIEWS}---\n{RULE}")
    return str(path)


def test_what_is_referred_to_goes_first(cli: Cli, plane: FakeControlPlane, reviews: str) -> None:
    plane.outcomes = [ACKED, UNAFFECTED]
    done = cli("apply", "-f", reviews)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "destinationrule.networking.istio.io/reviews created",
        "virtualservice.networking.istio.io/reviews created",
        "Acknowledged by 1 proxy in 3.1 ms, 1 unaffected",
        "  a.default 3.1 ms",
    ]
    assert plane.writes == [("POST", "destinationrules", "reviews"), ("POST", "virtualservices", "reviews")]
    assert [request["revision"] for request in plane.distribution_requests] == [["1"], ["2"]]
    stored = plane.stored["default", "destinationrules", "reviews"]
    assert stored["apiVersion"] == "networking.istio.io/v1"
    assert stored["metadata"]["labels"] == {"team": "a"}


def test_again_is_unchanged_and_a_change_is_configured(cli: Cli, plane: FakeControlPlane, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(REVIEWS)
    cli("apply", "-f", str(path))
    assert cli("apply", "-f", str(path)).out == "virtualservice.networking.istio.io/reviews unchanged\n"
    path.write_text(REVIEWS.replace("v1}}", "v2}}"))
    plane.conflicts = 2
    done = cli("apply", "-f", str(path))
    assert done.out.splitlines()[0] == "virtualservice.networking.istio.io/reviews configured"
    assert plane.writes[-1][0] == "PUT"
    assert (
        plane.stored["default", "virtualservices", "reviews"]["spec"]["http"][0]["route"][0]["destination"]["subset"]
        == "v2"
    )


def test_an_invalid_document_means_that_nothing_is_applied(cli: Cli, plane: FakeControlPlane, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(REVIEWS)
    (tmp_path / "b.yaml").write_text(f"{INVALID}---\n{INVALID.replace('name: bad', 'name: worse')}")
    (tmp_path / "c.yml").write_text("a: [")
    done = cli("apply", "-f", str(tmp_path))
    assert done.code == 1
    assert plane.writes == []
    assert "b.yaml:7: VirtualService default/bad: spec.http[0].routes" in done.err
    assert "VirtualService default/worse: spec.http[0].routes" in done.err
    assert "c.yml:" in done.err
    assert "nothing was applied" in done.err


def test_a_nack_is_printed_with_its_text(cli: Cli, plane: FakeControlPlane, reviews: str) -> None:
    plane.outcomes = [ACKED, NACKED]
    done = cli("apply", "-f", reviews)
    assert done.code == 1
    assert "c.default rejected RDS: bad regex '('" in done.err


def test_a_proxy_that_does_not_answer_in_time(cli: Cli, plane: FakeControlPlane, reviews: str) -> None:
    plane.outcomes = [{**ACKED, "state": "PENDING", "ms": 500.0}]
    done = cli("apply", "-f", reviews, "--timeout", "500ms")
    assert done.code == 1
    assert "Not acknowledged within 0.5 s: a.default." in done.err
    assert plane.distribution_requests[0]["timeout"] == ["0.5s"]


def test_not_waiting(cli: Cli, plane: FakeControlPlane, reviews: str) -> None:
    assert cli("apply", "-f", reviews, "--no-wait").code == 0
    assert plane.distribution_requests == []


def test_a_refusal_of_the_control_plane_shows_its_causes(cli: Cli, plane: FakeControlPlane, reviews: str) -> None:
    cause = {"field": "spec.hosts", "message": "taken by another"}
    plane.refusals["reviews"] = {"kind": "Status", "message": "invalid", "details": {"causes": [cause]}}
    done = cli("apply", "-f", reviews)
    assert done.code == 1
    assert "DestinationRule default/reviews: spec.hosts: taken by another" in done.err


def test_standard_input_and_json(cli: Cli, plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.outcomes = [ACKED]
    monkeypatch.setattr("sys.stdin", io.StringIO(REVIEWS))
    done = cli("apply", "-f", "-", "-n", "shop", "-o", "json")
    answer = json.loads(done.out)
    assert answer["resources"] == [
        {"resource": "virtualservice.networking.istio.io/reviews", "namespace": "shop", "action": "created"}
    ]
    assert answer["proxies"][0]["ms"] == 3.14


def test_sources_that_are_not_there_or_empty(cli: Cli, plane: FakeControlPlane, tmp_path: Path) -> None:
    assert cli("apply", "-f", str(tmp_path / "none.yaml")).code == 64
    assert cli("apply", "-f", str(tmp_path)).code == 65
    (tmp_path / "empty.yaml").write_text("---\n")
    done = cli("apply", "-f", str(tmp_path / "empty.yaml"))
    assert done.code == 65
    assert "There is no resource in" in done.err


def test_validate_is_offline(cli: Cli, reviews: str, tmp_path: Path) -> None:
    done = cli("validate", "-f", reviews)
    assert done.code == 0
    assert "virtualservice.networking.istio.io/reviews is valid" in done.out
    bad = tmp_path / "bad.yaml"
    bad.write_text(INVALID)
    done = cli("validate", "-f", str(bad), "-f", reviews)
    assert done.code == 1
    assert "spec.http[0].routes" in done.err
    answer = json.loads(cli("validate", "-f", str(bad), "-o", "json").out)
    assert len(answer["errors"]) >= 1
    assert answer["valid"] == []


def test_delete(cli: Cli, plane: FakeControlPlane, reviews: str) -> None:
    plane.outcomes = [ACKED]
    cli("apply", "-f", reviews)
    done = cli("delete", "-f", reviews)
    assert done.out.splitlines()[:2] == [
        "virtualservice.networking.istio.io/reviews deleted",
        "destinationrule.networking.istio.io/reviews deleted",
    ]
    assert plane.stored == {}
    done = cli("delete", "vs", "reviews")
    assert done.code == 1
    assert "virtualservice.networking.istio.io/reviews is not there (namespace default)" in done.err
    assert cli("delete", "vs", "reviews", "--ignore-not-found").code == 0
    cli("apply", "-f", reviews)
    assert cli("delete", "vs", "--all").out.startswith("virtualservice.networking.istio.io/reviews deleted")


def test_several_writes_count_by_a_proxys_worst(cli: Cli, plane: FakeControlPlane) -> None:
    from lugsail.cli.distribution import wait_for
    from lugsail.client import Client

    class Scripted(Client):
        def distribution(self, revision: int, timeout_s: float):  # type: ignore[no-untyped-def]
            lines = {1: [NACKED, {**ACKED, "ms": 9.0}], 2: [{**NACKED, "state": "ACKED", "error": None}, ACKED]}
            yield {"revision": revision, "proxies": []}
            yield from lines[revision]
            yield {"done": True, "pending": ["d.default"]}

    outcomes = {each.proxy: each for each in wait_for(Scripted("http://127.0.0.1:1"), [1, 2], 1.0)}
    assert (outcomes["a.default"].state, outcomes["a.default"].ms) == ("ACKED", 9.0)
    assert (outcomes["c.default"].state, outcomes["c.default"].error) == ("NACKED", "bad regex '('")
    assert outcomes["d.default"].state == "PENDING"
