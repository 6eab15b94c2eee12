"""Drives a whole mesh the way a user does: through the `lugsail` command and plain HTTP, nothing from the inside.

`Lab` is a mesh of processes; `ContainerLab` is the same for a mesh of containers, behind the same methods.
"""

from __future__ import annotations

import functools
import http.client
import http.cookiejar
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from tests.e2e.commands import commands
from tests.e2e.inside import Inside

REPO = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = REPO / "samples"
LUGSAIL = pathlib.Path(sys.executable).with_name("lugsail")

#: Kinds that a case may leave behind; the lab's own Sidecars stay.
USER_KINDS = ("virtualservices", "destinationrules", "serviceentries", "envoyfilters", "workloadentries", "gateways")


@dataclass
class Answer:
    """One HTTP answer: status, headers (names in lower case), body as text, and the seconds it took."""

    status: int
    headers: dict[str, str]
    body: str
    seconds: float


class Lab:
    """One running lab. `proxy` is python or envoy; `subnet` and `port` keep labs of one machine apart."""

    runtime = "processes"

    def __init__(self, proxy: str, subnet: str, port: int, home: pathlib.Path, *options: str) -> None:
        self.proxy = proxy
        self.subnet = subnet
        self.port = port
        self.home = home
        self.options = options
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
            "LUGSAIL_SUBNET": subnet,
            "LUGSAIL_HOME": str(home),
            "NO_COLOR": "1",
            "LUGSAIL_DEBUG": "1",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cli(self, *args: str, check: bool = True, text: str | None = None, timeout_s: float = 60) -> Any:
        """Run `lugsail ARGS`; with `check`, a non-zero exit fails the test and shows what was printed."""
        done = subprocess.run(
            [str(LUGSAIL), *args], env=self.env, input=text, capture_output=True, text=True, timeout=timeout_s
        )
        return checked(done) if check else done

    def quick(self, *args: str, check: bool = True, text: str | None = None, timeout_s: float = 60) -> Any:
        """The same of a process that has loaded its code before: for apply and status, which all cases need."""
        done = commands().run(args, self.env, text, timeout_s)
        return checked(done) if check else done

    def up(self) -> Any:
        return self.cli("up", "--detach", "--proxy", self.proxy, "--port", str(self.port), *self.options, timeout_s=120)

    def down(self) -> Any:
        return self.cli("down", check=False)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """The lab while it is up; nothing of it is left behind."""
        try:
            self.up()
            yield self
        finally:
            self.down()

    def apply(self, *sources: str | pathlib.Path) -> str:
        """Apply files (Path) and YAML texts (str), waiting for every proxy; the command's output."""
        args: list[str] = []
        texts: list[str] = []
        for source in sources:
            if isinstance(source, pathlib.Path):
                args += ["-f", str(source)]
            else:
                texts.append(source)
        if texts:
            args += ["-f", "-"]
        return self.quick("apply", *args, text="\n---\n".join(texts) if texts else None).stdout

    def reset(self) -> None:
        """Delete what a case applied, and put the ingress gateway back as `up` had it."""
        for kind in USER_KINDS:
            for item in json.loads(self.api("GET", f"/{kind}").body)["items"]:
                meta = item["metadata"]
                self.api("DELETE", f"/namespaces/{meta['namespace']}/{kind}/{meta['name']}")
        self.apply(SAMPLES / "bookinfo" / "bookinfo-gateway.yaml")

    def api(self, method: str, path: str, resource: dict[str, Any] | None = None) -> Answer:
        """One call of the control plane's REST API, below the networking group."""
        return request(
            f"{self.subnet}.0.1",
            8080,
            method,
            "/apis/networking.istio.io/v1" + path,
            {"content-type": "application/json"},
            body=json.dumps(resource) if resource else None,
        )

    def status(self) -> dict[str, Any]:
        return json.loads(self.quick("status", "-o", "json").stdout)

    def state(self) -> dict[str, Any]:
        return json.loads((self.home / "lab.json").read_text())

    def get(self, path: str, headers: dict[str, str] | None = None, timeout_s: float = 30) -> Answer:
        """GET through the ingress gateway, on a connection of its own."""
        return request("127.0.0.1", self.port, "GET", path, headers, timeout_s=timeout_s)

    def sign_in(self, user: str) -> Callable[..., Answer]:
        """A signed-in browser: a function like `get` that keeps the session cookie."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        form = urllib.parse.urlencode({"username": user, "passwd": "x"}).encode()
        opener.open(urllib.request.Request(self.url + "/login", data=form), timeout=30).read()

        def get(path: str) -> Answer:
            start = time.monotonic()
            try:
                with opener.open(self.url + path, timeout=30) as r:
                    return Answer(r.status, lower(r.headers.items()), r.read().decode(), time.monotonic() - start)
            except urllib.error.HTTPError as e:
                return Answer(e.code, lower(e.headers.items()), e.read().decode(), time.monotonic() - start)

        return get

    def pod_addresses(self, workload: str) -> tuple[str, str]:
        """(the pod's own address, its outgoing address)."""
        for item in self.status()["workloads"]:
            if item["workload"] == workload:
                ip = item["ip"]
                return ip, ip.rsplit(".", 1)[0] + ".2"
        raise AssertionError(f"no workload {workload} in `lugsail status`")

    @contextmanager
    def client(self, workload: str = "curl") -> Iterator[Client]:
        """An HTTP client that speaks as that workload: a kept-alive connection to its sidecar's HTTP proxy port."""
        client = Client(self.pod_addresses(workload)[1])
        try:
            yield client
        finally:
            client.close()

    def admin(self, workload: str, path: str) -> str:
        """GET of the proxy's admin page."""
        return request(self.pod_addresses(workload)[0], 15000, "GET", path).body

    def stat(self, workload: str, pattern: str) -> int:
        """Sum of the proxy's counters whose whole name matches the regular expression."""
        total = 0
        for line in self.admin(workload, "/stats").splitlines():
            name, _, value = line.rpartition(": ")
            if re.fullmatch(pattern, name) and value.isdigit():
                total += int(value)
        return total

    def proxy_log(self, workload: str) -> str:
        return (self.home / "logs" / f"{workload}.proxy.log").read_text(errors="replace")


#: What a mesh of containers publishes beside the page.
PUBLISHED = ("APP", "GATEWAY_TLS", "GATEWAY_TCP", "API", "MONITORING", "TRACING", "METRICS", "PROMETHEUS", "GRAFANA")


class ContainerLab(Lab):
    """One mesh of containers: a compose project of its own. `home` holds nothing; `options` are those of `up`."""

    runtime = "docker"

    def __init__(self, proxy: str, project: str, port: int, home: pathlib.Path, *options: str) -> None:
        super().__init__(proxy, "", port, home, *options)
        self.project = project
        self.env["LUGSAIL_PROJECT"] = project
        # Told, not found: two labs that start at once would find the same ones free.
        first = 21_000 + (port - 18_000) * len(PUBLISHED)
        self.env |= {f"LUGSAIL_{name}_PORT": str(first + n) for n, name in enumerate(PUBLISHED)}
        self._insides: dict[str, Inside] = {}
        self._containers: dict[tuple[str, str], str] = {}
        self._starting = threading.Lock()

    def up(self) -> Any:
        words = ["up", "--runtime", "docker", "--detach", "--proxy", self.proxy, "--port", str(self.port)]
        return self.cli(*words, *self.options, timeout_s=180)

    def down(self) -> Any:
        for inside in self._insides.values():
            inside.close()
        self._insides.clear()
        return self.cli("down", "--volumes", check=False)

    def api(self, method: str, path: str, resource: dict[str, Any] | None = None) -> Answer:
        url = urlsplit(self.control_plane_url)
        assert url.hostname
        path = "/apis/networking.istio.io/v1" + path
        body = json.dumps(resource) if resource else None
        return request(url.hostname, url.port or 80, method, path, {"content-type": "application/json"}, body=body)

    @functools.cached_property
    def control_plane_url(self) -> str:
        return str(self.status()["control_plane"])

    def state(self) -> dict[str, Any]:
        return self.status()

    def workload(self, name: str) -> dict[str, Any]:
        """Its line of `lugsail status`, with the names of its containers."""
        for item in self.status()["workloads"]:
            if item["workload"] == name:
                found: dict[str, Any] = item
                return found
        raise AssertionError(f"no workload {name} in `lugsail status`")

    def container(self, workload: str, part: str) -> str:
        """The name of its `app`, `proxy` or `pod` container: compose keeps to them."""
        key = (workload, part)
        if key not in self._containers:
            self._containers[key] = str(self.workload(workload)[f"{part}_container"])
        return self._containers[key]

    def pod_addresses(self, workload: str) -> tuple[str, str]:
        """(the pod's own address, the same: it has one)."""
        ip = str(self.workload(workload)["ip"])
        return ip, ip

    @contextmanager
    def client(self, workload: str = "curl") -> Iterator[Client]:
        """An HTTP client inside the workload's pod that knows nothing of the mesh."""
        client = InsideClient(self._inside(workload))
        try:
            yield client
        finally:
            client.close()

    def _inside(self, workload: str) -> Inside:
        with self._starting:
            found = self._insides.get(workload)
            if found is None or not found.is_alive:
                found = self._insides[workload] = Inside(self.container(workload, "app"))
            return found

    def admin(self, workload: str, path: str) -> str:
        words = ["docker", "exec", self.container(workload, "proxy"), "curl", "-s", f"http://127.0.0.1:15000{path}"]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout

    def proxy_log(self, workload: str) -> str:
        done = self.cli("logs", workload, "--proxy")
        return str(done.stdout + done.stderr)


def checked(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """What a command gave, if it succeeded; else AssertionError with all that it printed."""
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(done.args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Client:
    """Requests through a sidecar as its app would make them (absolute-form, keep-alive)."""

    def __init__(self, outgoing_ip: str) -> None:
        self.ip = outgoing_ip
        self.connection = http.client.HTTPConnection(outgoing_ip, 15080, timeout=30)

    def get(
        self, url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        start = time.monotonic()
        try:
            self.connection.request(method, url, body=body, headers=headers or {})
            r = self.connection.getresponse()
            data = r.read().decode(errors="replace")
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise
        return Answer(r.status, lower(r.getheaders()), data, time.monotonic() - start)

    def close(self) -> None:
        self.connection.close()


class InsideClient(Client):
    """The same from inside a pod, for whom the mesh cannot be seen."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._name = inside.client_name()

    def get(
        self, url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        text = body.decode("latin-1") if body is not None else None
        ask = {"client": self._name, "url": url, "headers": headers or {}, "method": method, "body": text}
        answer = self._inside.ask({**ask, "timeout_s": 30}, timeout_s=60)
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return Answer(answer["status"], lower(answer["headers"]), answer["body"], answer["seconds"])

    def close(self) -> None:
        if self._inside.is_alive:
            self._inside.tell({"client": self._name, "close": True})


def request(
    host: str,
    port: int,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    timeout_s: float = 30,
    body: str | None = None,
) -> Answer:
    """One request on a connection of its own."""
    start = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request(method, path, body, headers or {})
        r = connection.getresponse()
        return Answer(r.status, lower(r.getheaders()), r.read().decode(errors="replace"), time.monotonic() - start)
    finally:
        connection.close()


def lower(headers: Any) -> dict[str, str]:
    return {k.lower(): v for k, v in headers}


def eventually(check: Callable[[], Any], timeout_s: float = 10, what: str = "") -> Any:
    """Poll until `check` gives something true without raising; the last failure is shown when time runs out."""
    deadline = time.monotonic() + timeout_s
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = check()
            if last:
                return last
        except (AssertionError, OSError, http.client.HTTPException) as e:
            last = e
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what or check}: {last!r}")
