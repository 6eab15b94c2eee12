"""Commands that read the running lab's state: status, logs, exec, run, proxy-config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lugsail.lab import process_mesh
from lugsail.lab.control import ControlConnection
from lugsail.lab.paths import Home
from lugsail.lab.processes import reference
from lugsail.lab.state import write_state
from tests.lugsail.cli.conftest import Cli
from tests.lugsail.cli.test_config_dump import CLUSTER, LISTENER, ROUTES, STATIC
from tests.lugsail.fake_control_plane import FakeControlPlane


def part(state: str = "ready", restarts: int = 0) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "state": state,
        "restarts": restarts,
        "last_exit": "killed by SIGKILL" if restarts else "",
    }


def pod(name: str, kind: str = "sidecar", **more: Any) -> dict[str, Any]:
    return {
        "workload": name,
        "namespace": "default",
        "kind": kind,
        "ip": "127.0.0.1",
        "outbound_ip": "127.0.0.2",
        "proxy": "python",
        "app_port": None,
        "environment": {"http_proxy": "http://127.0.0.2:15080", "WORD": "from the pod"},
        "app_state": part(),
        "proxy_state": part(),
        **more,
    }


@pytest.fixture
def home(cli: Cli, plane: FakeControlPlane) -> Home:
    """A state folder that says that this very process is the lab."""
    home = Home.from_environment()
    home.create()
    me = reference(os.getpid())
    assert me is not None
    ref = {"pid": me.pid, "start_time": me.start_time}
    pods = [
        pod("a-v1"),
        pod("b-v1", app_state=None, proxy_state=part("waiting to restart", 2)),
        pod("gateway", kind="router", app_state=None),
    ]
    url = os.environ["LUGSAIL_CONTROL_PLANE"]
    write_state(
        home,
        {
            "lab_id": "x",
            "supervisor": ref,
            "control_plane": url,
            "gateway": "http://127.0.0.1:8080",
            "controlplane": part(),
            "pods": pods,
            "processes": [ref],
        },
    )
    return home


def test_status(cli: Cli, home: Home, plane: FakeControlPlane) -> None:
    states = dict.fromkeys(("cluster_status", "listener_status", "route_status", "endpoint_status"), "SYNCED")
    plane.syncz = [{"proxy": "a-v1.default", **states}]
    report = json.loads(cli("status", "-o", "json").out)
    assert report["controlplane"]["pid"] == os.getpid()
    first, second, _ = report["workloads"]
    assert (first["workload"], first["sync"], first["ready"], first["app_pid"]) == ("a-v1", "SYNCED", True, os.getpid())
    assert (second["sync"], second["ready"], second["restarts"]) == ("NOT CONNECTED", False, 2)
    assert report["memory_total"]["rss_bytes"] >= report["memory_total"]["pss_bytes"] > 0
    text = cli("status").out
    assert "waiting to restart" in text
    assert "Memory in all: " in text
    assert "b-v1 was restarted 2 times; last: killed by SIGKILL" in text


def test_status_without_its_control_plane(cli: Cli, home: Home) -> None:
    data = json.loads(home.state_file.read_text())
    home.state_file.write_text(json.dumps({**data, "control_plane": "http://127.0.0.1:1"}))
    report = json.loads(cli("status", "-o", "json").out)
    assert {item["sync"] for item in report["workloads"]} == {"UNKNOWN"}


def test_a_killed_lab_is_told(cli: Cli, home: Home) -> None:
    data = json.loads(home.state_file.read_text())
    home.state_file.write_text(
        json.dumps({**data, "processes": [], "supervisor": {"pid": 2**22 + 1, "start_time": "1"}})
    )
    done = cli("status")
    assert done.code == 1
    assert "The mesh was killed; 0 of its processes still run." in done.err
    assert "had been killed; 0 processes that it left were stopped" in cli("down").out
    assert cli("status").err == f"lugsail: No mesh is running from LUGSAIL_HOME={home.root}. Start one: lugsail up\n"


def test_logs(cli: Cli, home: Home) -> None:
    home.app_log("a-v1").write_text("one\ntwo\n")
    home.proxy_log("a-v1").write_text("access\n")
    home.proxy_log("b-v1").write_text("x\n")
    assert cli("logs", "a-v1").out == "one\ntwo\n"
    assert cli("logs", "a-v1", "--tail", "1").out == "two\n"
    assert cli("logs", "a-v1.default", "--proxy").out == "access\n"
    done = cli("logs", "b-v1")
    assert (done.code, done.out) == (0, "x\n")
    assert "b-v1 has no app that the lab started; this is its proxy's log" in done.err
    done = cli("logs", "nobody")
    assert done.code == 64
    assert "there are logs of a-v1, b-v1" in done.err


def lugsail(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lugsail", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def test_exec_passes_environment_and_exit_code(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere:1")
    done = lugsail("exec", "a-v1", "--", "sh", "-c", 'echo "$WORD $http_proxy $HTTPS_PROXY"; exit 7')
    assert done.returncode == 7, done.stderr
    assert done.stdout == "from the pod http://127.0.0.2:15080 \n"


def test_exec_that_cannot_be(cli: Cli, home: Home) -> None:
    done = cli("exec", "nobody", "--", "true")
    assert (done.code, done.err) == (64, "lugsail: There is no workload nobody; known are a-v1, b-v1, gateway.\n")
    assert "is a gateway" in cli("exec", "gateway", "--", "true").err
    done = cli("exec", "a-v1", "--", "no-such-program")
    assert (done.code, done.err) == (127, "lugsail: There is no no-such-program on this machine's PATH.\n")


def test_exec_without_curl_says_what_else(
    cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("exec", "a-v1", "--", "curl", "http://x")
    assert done.code == 127
    assert "There is no curl on this machine's PATH. Install it, or use Python" in done.err


@pytest.fixture
def joins(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Scripts the lab's answers; gives the list in which requests appear."""
    requests: list[dict[str, Any]] = []

    def script(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ended = threading.Event()

        def following() -> Iterator[dict[str, Any]]:
            yield from answers
            ended.wait(20)  # as a lab that lives on

        monkeypatch.setattr(ControlConnection, "__init__", lambda self, path: None)
        monkeypatch.setattr(ControlConnection, "send", lambda self, request: requests.append(request))
        monkeypatch.setattr(ControlConnection, "answers", lambda self: following())
        monkeypatch.setattr(ControlConnection, "close", lambda self: ended.set())
        return requests

    return script


ADMITTED = {
    "pod": {"service": "hello", "app_port": 14001},
    "environment": {"PORT": "14001", "BIND_ADDRESS": "127.0.0.1"},
}
RUN = ("run", "--app", "hello", "--version", "v1", "--port", "8000")


def test_run(cli: Cli, joins: Callable[..., list[dict[str, Any]]], tmp_path: Path) -> None:
    requests = joins([ADMITTED, {"joined": True}])
    out = tmp_path / "out"
    done = cli(*RUN, "--app-port", "8123", "--", "sh", "-c", f"echo $PORT > {out}; exit 3")
    assert done.code == 3
    assert out.read_text() == "14001\n"
    assert requests[0]["workload"] == {
        "name": "hello-v1",
        "namespace": "default",
        "app": "hello",
        "version": "v1",
        "port": 8000,
        "app_port": 8123,
    }


def test_run_refused(cli: Cli, joins: Callable[..., list[dict[str, Any]]]) -> None:
    joins([{"error": "There is a workload hello-v1 already", "exit_code": 64}])
    done = cli(*RUN, "--", "true")
    assert (done.code, done.err) == (64, "lugsail: There is a workload hello-v1 already\n")


def test_run_without_a_program(cli: Cli, home: Home) -> None:
    assert cli(*RUN, "--", "no-such-program").code == 127


@pytest.fixture
def admin(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy's admin page at the pods' address."""
    kind = "type.googleapis.com/envoy.admin.v3."
    dump = {
        "configs": [
            {"@type": kind + "BootstrapConfigDump", "bootstrap": {"node": {"id": "sidecar~a"}}},
            {
                "@type": kind + "ClustersConfigDump",
                "static_clusters": [{"cluster": STATIC}],
                "dynamic_active_clusters": [{"cluster": CLUSTER}],
            },
            {"@type": kind + "ListenersConfigDump", "dynamic_listeners": [{"active_state": {"listener": LISTENER}}]},
            {"@type": kind + "RoutesConfigDump", "dynamic_route_configs": [{"route_config": ROUTES}]},
        ]
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/config_dump?include_eds"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(dump).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(process_mesh, "ADMIN_PORT", server.server_address[1])
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("admin")
def test_proxy_config(cli: Cli) -> None:
    assert "Route: 15080" in cli("pc", "listeners", "a-v1").out
    done = cli("pc", "listeners", "a-v1", "--port", "1")
    assert done.out.splitlines() == ["ADDRESS   PORT   MATCH   DESTINATION"]
    assert done.err == "No listener fits. Without filters all are shown.\n"
    assert "there are 15080" in cli("pc", "routes", "a-v1", "--name", "9080").err
    assert cli("pc", "clusters", "a-v1", "--direction", "sideways").code == 64
    assert "[end-user=jason, !debug]" in cli("proxy-config", "routes", "a-v1.default").out
    assert json.loads(cli("pc", "routes", "a-v1", "--name", "other", "-o", "json").out) == []
    assert json.loads(cli("pc", "clusters", "a-v1", "--fqdn", "reviews", "-o", "json").out) == [CLUSTER]
    assert json.loads(cli("pc", "c", "a-v1", "--direction", "inbound", "-o", "json").out) == [STATIC]
    assert json.loads(cli("pc", "c", "a-v1", "--subset", "v2", "--port", "9080", "-o", "json").out) == [CLUSTER]
    assert "127.0.0.1:14001   HEALTHY   1        inbound|9080||" in cli("pc", "endpoints", "a-v1").out
    assert json.loads(cli("pc", "bootstrap", "a-v1").out) == {"node": {"id": "sidecar~a"}}
    assert "DESTINATION RULE" in cli("pc", "all", "a-v1").out
    assert "configs" in json.loads(cli("pc", "all", "a-v1", "-o", "json").out)


def test_a_proxy_that_does_not_answer(cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_mesh, "ADMIN_PORT", 1)
    done = cli("pc", "routes", "a-v1")
    assert done.code == 1
    assert "The proxy of a-v1 does not answer at 127.0.0.1:1" in done.err
