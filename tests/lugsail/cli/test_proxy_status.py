from __future__ import annotations

import json
import time

from lugsail.lab.running import worst
from tests.lugsail.cli.conftest import Cli
from tests.lugsail.fake_control_plane import FakeControlPlane

SYNCED = {
    "proxy": "reviews-v1.default",
    "type": "sidecar",
    "cluster_status": "SYNCED",
    "listener_status": "SYNCED",
    "route_status": "STALE",
    "endpoint_status": "NOT SENT",
    "errors": {},
}


def test_a_row_per_proxy(cli: Cli, plane: FakeControlPlane) -> None:
    plane.syncz = [{**SYNCED, "connected_since": time.time() - 300}]
    done = cli("proxy-status")
    assert done.code == 0
    header, row = done.out.splitlines()
    assert header.split() == ["NAME", "TYPE", "CDS", "LDS", "EDS", "RDS", "CONNECTED"]
    assert row.split() == ["reviews-v1.default", "sidecar", "SYNCED", "SYNCED", "NOT", "SENT", "STALE", "5m"]


def test_a_rejection_is_told_with_its_text(cli: Cli, plane: FakeControlPlane) -> None:
    plane.syncz = [{**SYNCED, "errors": {"RDS": "no such thing"}}]
    done = cli("ps", "reviews-v1")
    assert done.code == 1
    assert "reviews-v1.default rejected RDS: no such thing" in done.err


def test_json_and_an_unknown_proxy(cli: Cli, plane: FakeControlPlane) -> None:
    plane.syncz = [SYNCED]
    assert json.loads(cli("ps", "-o", "json").out) == [SYNCED]
    done = cli("ps", "nobody")
    assert done.code == 64
    assert "connected are reviews-v1.default" in done.err


def test_one_word_for_a_proxy() -> None:
    assert worst(["SYNCED", "NOT SENT", "SYNCED"]) == "SYNCED"
    assert worst(["SYNCED", "STALE"]) == "STALE"
    assert worst(["SYNCED", "STALE", "NACKED"]) == "NACKED"
    assert worst(["NOT SENT"]) == "NOT SENT"
