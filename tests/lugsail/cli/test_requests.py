"""`lugsail requests` over log files, without proxies to ask."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lugsail.lab.paths import Home
from lugsail.lab.processes import reference
from lugsail.lab.state import write_state
from tests.lugsail.cli.conftest import Cli
from tests.lugsail.cli.test_lab_commands import pod
from tests.lugsail.fake_control_plane import FakeControlPlane


def line(n: int, code: int = 200, flags: str = "-", path: str = "/reviews/0") -> str:
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 100 + n, UTC).isoformat(timespec="milliseconds")
    return (
        f'[{at}] "GET {path} HTTP/1.1" {code} {flags} via_upstream - "-" 0 334 {n} 8 "-" "curl" "id-{n}" '
        f'"reviews:9080" "10.0.0.5:9080" outbound|9080|v2|reviews.default.svc.cluster.local 10.0.0.1:{n} '
        f"10.0.0.1:15080 10.0.0.1:9 - -\n"
    )


@pytest.fixture
def log(cli: Cli, plane: FakeControlPlane) -> Path:
    """The proxy's log of productpage-v1 in a lab that this very process seems to be."""
    home = Home.from_environment()
    home.create()
    me = reference(os.getpid())
    assert me is not None
    ref = {"pid": me.pid, "start_time": me.start_time}
    pods = [{**pod("productpage-v1"), "proxy_state": None}]
    write_state(home, {"lab_id": "x", "supervisor": ref, "controlplane": None, "pods": pods, "gateway": "", "url": ""})
    return home.proxy_log("productpage-v1")


def test_the_last_requests(cli: Cli, log: Path) -> None:
    log.write_text("".join(line(n) for n in range(60)) + "2026-11-21 11:14:20,633 INFO up\n")
    done = cli("requests")
    assert done.code == 0, done.err
    out = done.out.splitlines()
    assert out[0].split() == ["TIME", "FROM", "TO", "REQUEST", "CODE", "MS", "RULE", "WHY"]
    assert len(out) == 51 and "productpage-v1  → reviews (v2)" in out[-1]
    assert len(cli("requests", "--tail", "3").out.splitlines()) == 4


def test_filters_and_json(cli: Cli, log: Path) -> None:
    log.write_text(line(1) + line(2, 503, "UF") + line(3, 504, "UT") + line(4, 503, "UF", "/other"))
    found = [json.loads(each) for each in cli("requests", "-o", "json", "--code", "503").out.splitlines()]
    assert [each["request_id"] for each in found] == ["id-2", "id-4"]
    assert found[0]["rule"]["kind"] == "unknown"
    for options, count in [
        (["--code", "5xx"], 3),
        (["--flag", "UF"], 2),
        (["--flag", "UF", "--path", "/other"], 1),
        (["--request-id", "id-1"], 1),
        (["--from", "productpage-v1"], 4),
        (["--to", "productpage-v1"], 0),
        (["--since", "50s"], 0),
        (["--since", "1h"], 4),
    ]:
        assert len(cli("requests", "-o", "json", *options).out.splitlines()) == count, options


def test_what_a_client_sent_is_not_obeyed(cli: Cli, log: Path) -> None:
    log.write_bytes(line(1, path="/\x1b]0;owned\x07\x1b[2J").encode())
    out = cli("requests").out
    assert "\x1b" not in out and "\\x1b]0;owned\\x07" in out


def test_usage(cli: Cli, log: Path) -> None:
    done = cli("requests", "--code", "9xx")
    assert done.code == 64 and "--code 9xx: expected a status such as 503" in done.err
    assert cli("requests", "--since", "soon").code == 64
    assert cli("requests", "-o", "yaml").code == 64


def test_no_mesh(cli: Cli) -> None:
    done = cli("requests")
    assert done.code != 0 and "lugsail up" in done.err
