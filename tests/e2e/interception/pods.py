"""A small mesh of network namespaces: pods with rules, sidecars and apps, a control plane, and a world outside."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

REPO = pathlib.Path(__file__).resolve().parents[3]
APP = pathlib.Path(__file__).with_name("app.py")
RESOLVER = APP.with_name("resolver.py")
PYTHON = sys.executable
#: Users of the processes: the proxy whose traffic is not redirected, and an app's.
PROXY_UID, APP_UID = 1337, 65534
HTTP_PORT, TCP_PORT = 9080, 9000
API = "networking.istio.io/v1"
PLURALS = {"ServiceEntry": "serviceentries"}

PROBERS = {
    "/app-health/app/livez": {"httpGet": {"path": "/live", "port": HTTP_PORT}, "timeoutSeconds": 2},
    "/app-health/app/readyz": {"tcpSocket": {"port": TCP_PORT}},
    "/app-health/app/startupz": {"httpGet": {"path": "/missing", "port": HTTP_PORT}},
    "/app-health/app/closed": {"tcpSocket": {"port": 9999}},
}


def why_not() -> str | None:
    """Why there can be no pods here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "iptables-restore", "setpriv", "curl") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    load = [*as_user(PROXY_UID), PYTHON, "-c", "import sidecar"]
    if subprocess.run(load, cwd=REPO, capture_output=True).returncode:
        return f"the user {PROXY_UID} of the proxies may not read {REPO}: clone it where others may (chmod o+rx)"
    tried = subprocess.run(["ip", "netns", "add", "lsag-probe"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "lsag-probe"], capture_output=True)
    return None if tried.returncode == 0 else f"no network namespaces here: {tried.stderr.strip()}"


def as_user(uid: int) -> list[str]:
    """What to put before a command that is to run as this user."""
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]


def until(condition: Callable[[], Any], what: str, limit_s: float = 20.0) -> Any:
    """What `condition` answers once it is true."""
    deadline = time.monotonic() + limit_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.05)
    return answer


def _forget_the_dead() -> None:
    """Remove namespaces of runs that were killed."""
    for path in pathlib.Path("/run/netns").glob("lsag-*-*"):
        if not pathlib.Path("/proc", path.name.split("-")[1]).exists():
            subprocess.run(["ip", "netns", "del", path.name], capture_output=True)
            shutil.rmtree(pathlib.Path("/etc/netns", path.name), ignore_errors=True)


@dataclass
class Pod:
    """One namespace with an address. `interception` are further options of the rules; None: a pod without a sidecar."""

    name: str
    ip: str
    namespace: str
    labels: dict[str, str] = field(default_factory=dict)
    interception: list[str] | None = field(default_factory=list)

    @property
    def meshed(self) -> bool:
        return self.interception is not None

    def command(self, *command: str, uid: int = APP_UID) -> list[str]:
        """The command line that runs `command` in this pod as a user."""
        return ["ip", "netns", "exec", self.namespace, *as_user(uid), *command]

    def run(self, *command: str, uid: int = APP_UID, text: str | None = None, limit_s: float = 30.0) -> Any:
        return subprocess.run(
            self.command(*command, uid=uid), input=text, capture_output=True, text=True, timeout=limit_s, cwd=REPO
        )

    def curl(self, url: str, *options: str, uid: int = APP_UID) -> Answer:
        """One request, by a curl that knows of no proxy."""
        done = self.run(
            "env",
            "-i",
            shutil.which("curl") or "curl",
            "-sS",
            "-m",
            "10",
            "-w",
            "\n%{http_code}",
            *options,
            url,
            uid=uid,
        )
        body, _, status = done.stdout.rpartition("\n")
        return Answer(int(status or 0), body, done.stderr.strip(), done.returncode)

    def talk(self, address: str, port: int, line: str = "ping", uid: int = APP_UID) -> str:
        """What a TCP service says first and to one line; the text of the error where it does not."""
        done = self.run(PYTHON, "-c", _TALK, address, str(port), line, uid=uid)
        return (done.stdout + done.stderr).strip()

    def stats(self, wanted: str) -> str:
        """The proxy's Prometheus lines that hold a text."""
        page = self.curl("http://127.0.0.1:15000/stats/prometheus").body
        return "\n".join(line for line in page.splitlines() if wanted in line and not line.startswith("#"))


_TALK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8) as s:
        f = s.makefile("rw")
        print(f.readline().strip() or "closed")
        f.write(sys.argv[3] + "\\n"); f.flush()
        print(f.readline().strip())
except OSError as e:
    print("error", e)
"""


@dataclass(frozen=True)
class Answer:
    """What curl got: status 0 where there was no answer, and why not."""

    status: int
    body: str
    error: str
    exit: int

    @property
    def seen(self) -> dict[str, Any]:
        """What the app saw."""
        assert self.status == 200, self
        found: dict[str, Any] = json.loads(self.body)
        return found


class Mesh:
    """All of it, at 10.231.<number>.0/24, which nobody outside of its namespaces sees. Their names hold our process's
    id, so that runs do not meet."""

    def __init__(self, number: int, proxy: str, folder: pathlib.Path) -> None:
        self.proxy = proxy
        self.folder = folder
        self.subnet = f"10.231.{number}"
        self._prefix = f"lsag-{os.getpid()}-{number}"
        self.net = Pod("net", f"{self.subnet}.1", f"{self._prefix}-net", interception=None)
        self.pods: dict[str, Pod] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._namespaces: list[str] = []
        self._environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}

    # ---- building

    def start(self) -> None:
        """The network and the outside."""
        _forget_the_dead()
        self._namespace(self.net.namespace)
        self._ip("-n", self.net.namespace, "link", "add", "name", "bridge0", "type", "bridge")
        self._ip("-n", self.net.namespace, "addr", "add", f"{self.net.ip}/24", "dev", "bridge0")
        self._ip("-n", self.net.namespace, "link", "set", "bridge0", "up")
        self._spawn("resolver", self.net, [PYTHON, str(RESOLVER), self.net.ip, self.net.ip], 0)
        self._spawn("outside", self.net, [PYTHON, str(APP), "outside", self.net.ip, "8000", "8001"], APP_UID)

    def add(self, name: str, host: int, labels: dict[str, str], interception: list[str] | None) -> Pod:
        """A pod at `<subnet>.<host>`, with its address and route, and nothing running."""
        pod = Pod(name, f"{self.subnet}.{host}", f"{self._prefix}-{name}", labels, interception)
        self._namespace(pod.namespace)
        # `ip netns exec` shows this to what it runs as /etc/resolv.conf.
        resolv_conf = pathlib.Path("/etc/netns", pod.namespace, "resolv.conf")
        resolv_conf.parent.mkdir(parents=True, exist_ok=True)
        resolv_conf.write_text(f"nameserver {self.net.ip}\nsearch default.svc.cluster.local\n")
        outer = f"h{host}"
        self._ip("link", "add", "eth0", "netns", pod.namespace, "type", "veth",
                 "peer", "name", outer, "netns", self.net.namespace)  # fmt: skip
        self._ip("-n", self.net.namespace, "link", "set", outer, "master", "bridge0", "up")
        self.connect(pod)
        self.pods[name] = pod
        return pod

    def connect(self, pod: Pod, ip: str | None = None) -> None:
        """Give the pod its address, or a new one."""
        if ip is not None:
            self._ip("-n", pod.namespace, "addr", "del", f"{pod.ip}/24", "dev", "eth0")
            pod.ip = ip
        self._ip("-n", pod.namespace, "addr", "add", f"{pod.ip}/24", "dev", "eth0")
        self._ip("-n", pod.namespace, "link", "set", "eth0", "up")
        self._ip("-n", pod.namespace, "route", "replace", "default", "via", self.net.ip)

    def run_control_plane(self) -> None:
        registry = self.folder / "registry.json"
        registry.write_text("\n---\n".join(json.dumps(one) for one in self._registry()))
        self._spawn(
            "control-plane",
            self.net,
            [PYTHON, "-m", "controlplane", "--registry", str(registry), "--store", str(self.folder / "store.db"),
             "--address", self.net.ip],
            0,
        )  # fmt: skip
        until(lambda: self.net.curl(f"http://{self.net.ip}:8080/ready").status == 200, "the control plane is ready")

    def run_pod(self, pod: Pod) -> None:
        """Rules, sidecar and app, as in a container's pod."""
        if pod.meshed:
            self.intercept(pod)
            self.run_sidecar(pod)
        self._spawn(f"{pod.name}-app", pod, [PYTHON, str(APP), pod.name, "", str(HTTP_PORT), str(TCP_PORT)], APP_UID)

    def intercept(self, pod: Pod, *options: str) -> str:
        """The real command, as root in the pod's namespace; what it said."""
        done = pod.run(
            PYTHON, "-m", "sidecar.agent.interception", "--redirect-dns", *(pod.interception or []), *options, uid=0
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout + done.stderr)

    def run_sidecar(self, pod: Pod) -> None:
        labels = ",".join(f"{key}={value}" for key, value in pod.labels.items())
        environment = {
            "LUGSAIL_APP_PROBERS": json.dumps(PROBERS),
            "LUGSAIL_PROMETHEUS_ANNOTATIONS": json.dumps({"scrape": "true", "port": str(HTTP_PORT)}),
        }
        state = self.folder / f"{pod.name}-state"
        state.mkdir(exist_ok=True)
        os.chown(state, PROXY_UID, PROXY_UID)
        self._spawn(
            f"{pod.name}-proxy",
            pod,
            [PYTHON, "-m", "sidecar", "--workload", pod.name, "--ip", "auto", "--labels", labels, "--discovery",
             "control-plane.world.test:15010", "--proxy", self.proxy, "--interception", "REDIRECT", "--dns-capture",
             "--state-dir", str(state)],
            PROXY_UID,
            environment,
        )  # fmt: skip

    def wait_ready(self) -> None:
        for pod in self.pods.values():
            if pod.meshed:
                url = f"http://{pod.ip}:15020/healthz/ready?ports={HTTP_PORT},{TCP_PORT}"
                try:
                    until(lambda url=url: self.net.curl(url).status == 200, f"{pod.name} is ready")
                except AssertionError as e:
                    raise AssertionError(f"{e}; its log: {self.log(pod)[-2000:]}") from None

    def close(self) -> None:
        for process in reversed(list(self.processes.values())):
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for namespace in reversed(self._namespaces):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
            shutil.rmtree(pathlib.Path("/etc/netns", namespace), ignore_errors=True)

    # ---- use

    def vip(self, service: str) -> str:
        return f"{self.subnet}.{ {'reviews': 201, 'client': 202}[service] }"

    def spawn_python(self, name: str, pod: Pod, code: str) -> subprocess.Popen[bytes]:
        """A process of Python in a pod, as an app's user."""
        self._spawn(name, pod, [PYTHON, "-c", code], APP_UID)
        return self.processes[name]

    def connected(self, pod: Pod) -> bool:
        """Whether the pod's proxy has a stream that works: the gauge, and no unanswered ping behind it."""
        held = pod.stats("control_plane_connected_state").rsplit(" ", 1)
        sockets = pod.run("ss", "-Htn", "state", "established", "( dport = :15010 )", uid=0).stdout
        return held[-1] == "1" and pod.ip in sockets

    def log(self, pod: Pod) -> str:
        """What the sidecar of a pod wrote: access log and log."""
        return (self.folder / f"{pod.name}-proxy.log").read_text(errors="replace")

    def apply(self, *resources: dict[str, Any]) -> None:
        """Apply resources and wait until every sidecar has them."""
        for one in resources:
            self._api("POST", one["kind"], one)
        self._settle()

    def delete(self, *resources: dict[str, Any]) -> None:
        for one in resources:
            self._api("DELETE", one["kind"], one)
        self._settle()

    def _api(self, method: str, kind: str, resource: dict[str, Any]) -> None:
        url = f"http://{self.net.ip}:8080/apis/{API}/namespaces/default/{PLURALS.get(kind, kind.lower() + 's')}"
        if method == "DELETE":
            url += f"/{resource['metadata']['name']}"
        document = json.dumps({"apiVersion": API, **resource})
        answer = self.net.curl(url, "-X", method, "-H", "content-type: application/json", "-d", document)
        assert answer.status in (200, 201), answer

    def _settle(self) -> None:
        """Until every sidecar has acknowledged what was last written."""
        answer = self.net.curl(f"http://{self.net.ip}:8080/apis/lugsail.io/v1/distribution?timeout=9s")
        last = json.loads(answer.body.strip().splitlines()[-1])
        assert last["done"] and not last["nacked"] and not last["pending"], answer.body

    def _registry(self) -> list[dict[str, Any]]:
        ports = [
            {"number": HTTP_PORT, "name": "http", "protocol": "HTTP", "targetPort": HTTP_PORT},
            {"number": TCP_PORT, "name": "tcp", "protocol": "TCP", "targetPort": TCP_PORT},
        ]
        documents: list[dict[str, Any]] = [
            {
                "apiVersion": API,
                "kind": "ServiceEntry",
                "metadata": {"name": app, "namespace": "default"},
                "spec": {
                    "hosts": [f"{app}.default.svc.cluster.local"],
                    "addresses": [self.vip(app)],
                    "ports": ports,
                    "location": "MESH_INTERNAL",
                    "resolution": "STATIC",
                    "workloadSelector": {"labels": {"app": app}},
                },
            }
            for app in ("reviews", "client")
        ]
        for pod in self.pods.values():
            if pod.meshed:
                spec = {"address": pod.ip, "labels": pod.labels, "serviceAccount": "default"}
                meta = {"name": pod.name, "namespace": "default"}
                documents.append({"apiVersion": API, "kind": "WorkloadEntry", "metadata": meta, "spec": spec})
        return documents

    def _spawn(
        self, name: str, pod: Pod, command: list[str], uid: int, environment: dict[str, str] | None = None
    ) -> None:
        path = self.folder / f"{name}.log"
        with path.open("ab") as log:
            os.chown(path, uid, uid)  # /dev/stdout is opened anew by name, by that user
            self.processes[name] = subprocess.Popen(
                pod.command(*command, uid=uid),
                cwd=REPO, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**self._environment, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
            )  # fmt: skip

    def _namespace(self, name: str) -> None:
        self._ip("netns", "add", name)
        self._namespaces.append(name)
        self._ip("-n", name, "link", "set", "lo", "up")

    @staticmethod
    def _ip(*words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
