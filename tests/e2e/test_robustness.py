"""Rough treatment from outside and inside: hostile bytes, clients that leave, crowds, a broken registry file, kill -9.

After each the mesh serves as before, and nothing is left over. On the Python proxy: what is its own is tested here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from tests.e2e.lab import LUGSAIL, SAMPLES, Lab, eventually, request

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("shared_lab", ["python"], indirect=True)]

BOOKINFO = SAMPLES / "bookinfo"
CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
GET_PAGE = b"GET /productpage HTTP/1.1\r\nHost: x\r\n"
#: An address of 127.0.0.0/8 as /proc/net/tcp shows it (its bytes reversed), or as tcp6 does (gRPC's sockets).
LOOPBACK = re.compile(r"(0000000000000000FFFF0000)?[0-9A-F]{6}7F:[0-9A-F]{4}").fullmatch
ACTIVE = r"(http\..*\.downstream_(cx|rq)_active|cluster\.outbound.*\.upstream_rq_(pending_)?active)"


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    """The shared lab, by cases that apply nothing."""
    return shared_lab


@pytest.fixture
def clean_lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared lab, cleaned up after the case."""
    yield shared_lab
    shared_lab.reset()


def exchange(address: tuple[str, int], data: bytes) -> bytes:
    """What comes back until the other side closes."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
    return received


def gateway(lab: Lab) -> tuple[str, int]:
    return "127.0.0.1", lab.port


def serves(lab: Lab) -> bool:
    answer = lab.get("/productpage")
    return answer.status == 200 and "Sorry" not in answer.body


def is_whole(lab: Lab) -> bool:
    """Whether all components are ready and in sync."""
    status = lab.status()
    return status["controlplane"]["state"] == "ready" and all(
        w["ready"] and w["sync"] == "SYNCED" for w in status["workloads"]
    )


def pids(lab: Lab) -> dict[str, int]:
    """`reviews-v1 proxy` and the like → pid, of what runs."""
    state = lab.state()
    parts = {"controlplane": state["controlplane"]}
    for pod in state["pods"]:
        parts |= {f"{pod['workload']} {part}": pod[f"{part}_state"] for part in ("app", "proxy")}
    return {name: part["pid"] for name, part in parts.items() if part and part["pid"]}


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def marked(lab_id: str) -> list[int]:
    """Processes of a lab: they carry its id in their environment."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and lab_id.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


# ---- from outside


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(GET_PAGE + b"x: " + b"a" * 70_000 + b"\r\n\r\n", 431, id="large header"),
        pytest.param(GET_PAGE + b"".join(b"x-%d: a\r\n" % i for i in range(101)) + b"\r\n", 431, id="many headers"),
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, id="long path"),
        pytest.param(random.Random(1).randbytes(4000), 400, id="noise"),
        pytest.param(b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03" + bytes(240), 400, id="TLS hello"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2 preface"),
    ],
)
def test_hostile_bytes_are_refused(lab: Lab, data: bytes, status: int) -> None:
    assert exchange(gateway(lab), data).startswith(b"HTTP/1.1 %d " % status)
    assert serves(lab)


def test_requests_before_garbage_are_answered(lab: Lab) -> None:
    answers = exchange(gateway(lab), (GET_PAGE + b"\r\n") * 3 + b"nonsense\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b"HTTP/1.1 400 ") == 1


def test_many_idle_and_half_open_connections(lab: Lab) -> None:
    pid = pids(lab)["istio-ingressgateway proxy"]
    connected = r"http\..*\.downstream_cx_active"
    eventually(lambda: lab.stat("istio-ingressgateway", connected) == 0, what="quiet before")
    before = open_files(pid)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(gateway(lab))) for _ in range(1500)]
        for connection in crowd[::2]:
            connection.sendall(GET_PAGE + b"x-")
        eventually(lambda: lab.stat("istio-ingressgateway", connected) == 1500, what="all accepted")
        assert serves(lab)
        for connection in crowd[::2]:
            connection.sendall(b"y: z\r\nx-")
        assert serves(lab)
    eventually(lambda: lab.stat("istio-ingressgateway", connected) == 0, what="all closed")
    assert open_files(pid) <= before + 5


def test_clients_that_leave_early_leave_nothing_behind(lab: Lab) -> None:
    requests = (
        GET_PAGE + b"\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
        GET_PAGE,
        (GET_PAGE + b"\r\n") * 5,
    )
    for i in range(300):
        with socket.create_connection(gateway(lab)) as connection:
            connection.sendall(requests[i % 4])
            if i % 3 == 0:  # a reset instead of a close
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    eventually(lambda: lab.stat("istio-ingressgateway", ACTIVE) == 0, 15, "nothing active at the gateway")
    outbound = r"cluster\.outbound.*\.upstream_rq_(pending_)?active"
    eventually(lambda: lab.stat("productpage-v1", outbound) == 0, 15, "nothing active at the product page")
    assert serves(lab)


# ---- at the control plane


def test_control_plane_bounds_what_clients_ask(clean_lab: Lab) -> None:
    lab = clean_lab
    host, path = f"{lab.subnet}.0.1", "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
    headers = {"content-type": "application/json"}
    for body, status, text in (
        ("x" * (4 << 20), 413, "larger than the limit"),
        ('{"a":' * 100_000, 400, "not JSON"),
        ("[]", 400, "object"),
    ):
        answer = request(host, 8080, "POST", path, headers, body=body)
        assert answer.status == status
        assert text in json.loads(answer.body)["message"]
    watches = [http.client.HTTPConnection(host, 8080, timeout=10) for _ in range(100)]
    try:
        statuses: Counter[int] = Counter()
        for watch in watches:
            watch.request("GET", path + "?watch=1")
            statuses[watch.getresponse().status] += 1
        assert set(statuses) == {200, 429}
        lab.apply(BOOKINFO / "destination-rule-all.yaml")
    finally:
        for watch in watches:
            watch.close()
    eventually(
        lambda: request(host, 8080, "GET", path + "?watch=1&timeoutSeconds=0.01").status == 200,
        what="room for a watch again",
    )


class Stranger:
    """An ADS client of its own: `answer` gives the request that follows a response, None for none."""

    def __init__(self, lab: Lab, node_id: str, answer: Callable[[Any], DiscoveryRequest | None]) -> None:
        self.responses = 0
        self.error: grpc.RpcError | None = None
        self._answer = answer
        self._more = threading.Event()
        self._requests = [DiscoveryRequest(node=Node(id=node_id), type_url=CDS)]
        self._channel = grpc.insecure_channel(f"{lab.subnet}.0.1:15010", options=(("grpc.enable_http_proxy", 0),))
        self._stream = AggregatedDiscoveryServiceStub(self._channel).StreamAggregatedResources(self._ask())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _ask(self) -> Iterator[DiscoveryRequest]:
        while True:
            while self._requests:
                yield self._requests.pop(0)
            self._more.wait(10)
            self._more.clear()

    def _read(self) -> None:
        try:
            for response in self._stream:
                self.responses += 1
                if (request := self._answer(response)) is not None:
                    self._requests.append(request)
                    self._more.set()
        except grpc.RpcError as error:
            self.error = error

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join(5)
        self._channel.close()


def test_strange_ads_clients_hold_up_nobody(clean_lab: Lab) -> None:
    """One never answers, one rejects everything; twins share an id; one has no valid id."""
    lab = clean_lab

    def reject(response: Any) -> DiscoveryRequest:
        answer = DiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        answer.error_detail.message = "never " + "e" * 10_000
        return answer

    lab.apply(BOOKINFO / "destination-rule-all.yaml")
    end = "~default.svc.cluster.local"
    silent, rejecting, again = (
        Stranger(lab, f"sidecar~{lab.subnet}.200.{number}~{name}.default{end}", answer)
        for number, name, answer in ((1, "silent", lambda _: None), (2, "never", reject), (2, "never", reject))
    )
    unknown = Stranger(lab, "who", lambda _: None)
    try:
        eventually(lambda: silent.responses and rejecting.responses and again.responses, what="first responses")
        eventually(lambda: unknown.error is not None, what="a refusal of the node id")
        assert unknown.error is not None
        assert "node id 'who' is not `sidecar|router~IP~" in unknown.error.details()
        for file in ("virtual-service-all-v1.yaml", "virtual-service-reviews-v3.yaml"):
            lab.cli("apply", "--no-wait", "-f", str(BOOKINFO / file))
        with lab.client() as client:
            eventually(lambda: '"red"' in client.get("http://reviews:9080/reviews/0").body, 3, "the last route")
        # Every push may be told once; a rejection is no reason to send the same again.
        assert rejecting.responses <= 4
        assert all(w["sync"] == "SYNCED" for w in lab.status()["workloads"])
    finally:
        for stranger in (silent, rejecting, again, unknown):
            stranger.close()


def test_broken_registry_file_changes_nothing(lab: Lab) -> None:
    registry = lab.home / "registry.yaml"
    good = registry.read_text()

    def error() -> Any:
        return json.loads(request(f"{lab.subnet}.0.1", 8080, "GET", "/debug/registryz").body)["sources"][0]["error"]

    try:
        for damage, told in (
            ("kind: [unclosed", "not YAML"),
            (good[: len(good) // 2].rpartition("spec:")[0], "registry.yaml:"),
            ("", "is empty"),
            (None, "no such file"),
        ):
            if damage is None:
                registry.unlink()
            else:
                registry.write_text(damage)
            eventually(lambda told=told: told in (error() or ""), 3, told)
            assert serves(lab)
        assert "what it said last stays in force" in (lab.home / "logs" / "controlplane.log").read_text()
    finally:
        registry.write_text(good)
    eventually(lambda: error() is None, 3, "the source is good again")
    assert serves(lab)


# ---- processes


def test_random_kills_under_load(lab: Lab) -> None:
    """kill -9 of eight components while pages are asked for: all come back, none leaks, none is left over."""
    victims = random.Random(11).sample(sorted(pids(lab)), 8)
    files = {name: open_files(pid) for name, pid in pids(lab).items()}
    stop = threading.Event()
    statuses: Counter[int] = Counter()

    def load() -> None:
        while not stop.wait(0.05):
            with contextlib.suppress(OSError, http.client.HTTPException):
                statuses[lab.get("/productpage").status] += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for name in victims:
            if (pid := pids(lab).get(name)) is not None:
                os.kill(pid, signal.SIGKILL)
            stop.wait(0.5)
        eventually(lambda: is_whole(lab), 20, "all ready and in sync")
    finally:
        stop.set()
        thread.join()
    eventually(lambda: serves(lab), 5, "the whole page")
    assert statuses[200] > sum(statuses.values()) / 3, statuses
    now = pids(lab)
    for name in files.keys() - set(victims):
        assert open_files(now[name]) <= files[name] + 25, name
    state = lab.state()
    known = {ref["pid"] for ref in state["processes"]} | {state["supervisor"]["pid"], os.getpid()}
    eventually(lambda: set(marked(state["lab_id"])) <= known, 5, "no stray process")


def test_nothing_listens_beyond_loopback(lab: Lab) -> None:
    """Every listening socket of every process of the lab is bound to an address of 127.0.0.0/8."""
    inodes = {}
    for pid in (*marked(lab.state()["lab_id"]), lab.state()["supervisor"]["pid"]):
        with contextlib.suppress(OSError):
            for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes[os.readlink(descriptor)] = pid
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            unconnected = fields[3] == ("0A" if table.startswith("tcp") else "07")
            if unconnected and f"socket:[{fields[9]}]" in inodes:
                listening.append((table, fields[1]))
    assert len(listening) > 50
    assert [each for each in listening if not LOOPBACK(each[1])] == []


def test_secrets_are_in_no_log(lab: Lab) -> None:
    secret = "s3cret-"
    form = urllib.parse.urlencode({"username": "jason", "passwd": secret + "form"})
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Bearer {secret}token"}
    answer = request("127.0.0.1", lab.port, "POST", "/login", headers, body=form)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert "HttpOnly" in answer.headers["set-cookie"]
    page = lab.get("/productpage", {"cookie": f"{cookie}; other={secret}cookie", "authorization": f"Basic {secret}x"})
    assert "Signed in as <strong>jason" in page.body
    forged = lab.get("/productpage", {"cookie": cookie[:-3] + ("AAA" if cookie[-3:] != "AAA" else "BBB")})
    assert "Signed in" not in forged.body
    lab.get("/no/such", {"cookie": f"a={secret}y"})
    eventually(lambda: "/no/such" in lab.proxy_log("istio-ingressgateway"), 5, "the access log")
    value = cookie.partition("=")[2]
    for log in (lab.home / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert secret not in text, log
        assert value not in text, log


def test_start_and_stop_at_any_moment(lab: Lab, tmp_path: pathlib.Path) -> None:
    """Beside another lab: signals and `down` during start-up, and two at once. An answer each, never a process left."""
    assert serves(lab)
    other = Lab("python", "127.46", 18046, tmp_path / "home")
    command = [str(LUGSAIL), "up", "--port", str(other.port)]

    def start(*options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, *options],
            env={**other.env, "E2E_MARK": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ended(process: subprocess.Popen[str]) -> str:
        output = process.communicate(timeout=20)[0]
        assert "Traceback" not in output, output
        eventually(lambda: marked(str(tmp_path)) == [], 10, f"nothing left after: {output}")
        return output

    for number, delay_s in ((signal.SIGINT, 0.4), (signal.SIGTERM, 0.8), (signal.SIGHUP, 1.2)):
        process = start()
        time.sleep(delay_s)
        process.send_signal(number)
        ended(process)
    process = start("--detach")
    eventually(lambda: (other.home / "lab.json").exists(), 10, "the first state")
    assert "nothing is left running" in other.down().stdout
    ended(process)
    pair = [start("--detach"), start("--detach")]
    outputs = [process.communicate(timeout=30)[0] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 1], outputs
    assert sum("The mesh is up" in output for output in outputs) == 1
    assert sum("lugsail down" in output and "The mesh is up" not in output for output in outputs) == 1
    assert other.get("/productpage").status == 200
    assert "nothing is left running" in other.down().stdout
    eventually(lambda: marked(str(tmp_path)) == [], 10, "nothing left")
