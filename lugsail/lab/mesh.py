"""The lab: control plane, gateway and pods, started in order, kept running, stopped without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from lugsail.client import ApiError, Client, Unreachable
from lugsail.lab import logfiles, probes, prometheus, seed, spawn
from lugsail.lab.addressing import CONTROL_PLANE_HTTP_PORT, HEALTH_PORT, Subnet
from lugsail.lab.checks import CannotStart, free_port
from lugsail.lab.errors import LabError
from lugsail.lab.launcher import Launcher, LaunchError
from lugsail.lab.mesh_config import own_mesh_config
from lugsail.lab.observers import Observer, access_log_service, chosen, observer_documents
from lugsail.lab.paths import shipped
from lugsail.lab.plan import Options, choose_app_ports
from lugsail.lab.pod import Pod, app_environment, next_pod_number
from lugsail.lab.processes import LAB_ID_VARIABLE, ProcessRef, marked, reference, stop_all
from lugsail.lab.resources import registry_documents, sidecar_resource, tcp_environment
from lugsail.lab.state import write_atomically, write_state
from lugsail.lab.supervisor import Component, EventSink, Supervisor
from lugsail.lab.topology import Workload

START_TIMEOUT_S = 60.0
FAILURES_TO_GIVE_UP = 3
FAILURES_TOLD = 2  # with their logs; many failures mostly have one cause
FIRST_PAGE_TIMEOUT_S = 15.0
LOG_TAIL_LINES = 8
SAMPLE_GATEWAY = "samples/bookinfo/bookinfo-gateway.yaml"


class Mesh:
    """One lab. `pods` come from `plan.place`; events go to the sink as the supervisor's do."""

    def __init__(self, options: Options, pods: list[Pod], sink: EventSink) -> None:
        self.options = options
        self.pods = pods
        self.lab_id = secrets.token_hex(8)
        self.stopping = asyncio.Event()
        self._sink = sink
        self._registered = list(pods)
        self._started_at = time.time()
        self._reference = reference(os.getpid())
        self._state_due = False
        environment = {LAB_ID_VARIABLE: self.lab_id, "PYTHONUNBUFFERED": "1"}
        self.launcher = Launcher(environment, spawn.PRELOAD, options.home.logs)
        self.supervisor = Supervisor(self.launcher, sink, self._schedule_state)

    @property
    def subnet(self) -> Subnet:
        return self.options.subnet

    @property
    def observers(self) -> list[Observer]:
        return chosen(self.options.observers)

    @property
    def mesh_config(self) -> Path:
        return self.options.mesh_config or self.options.home.mesh_config_file

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.options.gateway_port}"

    async def start(self) -> list[str]:
        """Start everything; the names of components that did not get ready. Raises CannotStart."""
        logfiles.begin_anew(self.options.home.logs)
        prepare_store(self.options)
        self._prepare_mesh_config()
        self._write_registry()
        self._write_state()
        control_plane = self.supervisor.start(self._control_plane())
        apps = [self.supervisor.start(app) for pod in self.pods if (app := self._app(pod)) is not None]
        if not await self._wait_ready(control_plane):
            raise CannotStart(self._why_not_ready(control_plane))
        await self._with_client(partial(seed.put_sidecars, pods=self.pods))
        await self._with_client(partial(seed.put_first_gateway, sample=shipped(SAMPLE_GATEWAY)))
        proxies = [self.supervisor.start(self._proxy(pod)) for pod in self.pods]
        failed = await self._not_ready([*apps, *proxies])
        # Nobody waits for these, so the first request does not either.
        observers = [self.supervisor.start(self._observer(each)) for each in self.observers]
        if not failed:
            await self._first_page()
        failed += await self._not_ready(observers)
        for component in failed[:FAILURES_TOLD]:
            self._note(self._why_not_ready(component), "warning")
        await self._tell_rejections()
        return [component.name for component in failed]

    async def _not_ready(self, components: list[Component]) -> list[Component]:
        """Wait for all of them; those that did not get ready."""
        ready = await asyncio.gather(*(self._wait_ready(component) for component in components))
        return [component for component, is_ready in zip(components, ready, strict=True) if not is_ready]

    async def attend(self) -> None:
        """Until told to stop: keep the logs bounded and the nurseries alive."""
        while not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(logfiles.CHECK_EVERY_S):
                    await self.stopping.wait()
            for note in logfiles.trim(self.options.home.logs):
                self._note(note, "warning")
            if not self.stopping.is_set():
                await self._revive_nurseries()

    async def _revive_nurseries(self) -> None:
        """A nursery that died is warmed anew; its pods run on without it."""
        for nursery in self.launcher.nurseries.values():
            if not nursery.has_died:
                continue
            self._note(f"the {nursery.name} nursery ended; starting it again (its pods run on)", "warning")
            try:
                await nursery.start()
            except LaunchError as error:
                self._note(str(error), "warning")

    async def stop(self) -> None:
        """Stop every process of the lab: pods first, then what they talk to, then whatever is still marked as ours."""
        components = self.supervisor.components
        pods = [component for name, component in components.items() if name.startswith(("app:", "proxy:"))]
        await self.supervisor.stop(pods)
        await self.supervisor.stop(list(components.values()))
        await self.launcher.close()
        strays = [ref for pid in marked(self.lab_id) if (ref := reference(pid)) is not None]
        await asyncio.to_thread(stop_all, strays, 1.0)
        with contextlib.suppress(OSError):
            self.options.home.state_file.unlink()

    async def join(self, workload: Workload, proxy: str, app_port: int | None = None) -> Pod:
        """A pod for a program that the user runs; it gets traffic once `register` is called. Raises CannotStart.

        `app_port` is the port of 127.0.0.1 that the program listens on, where it cannot be told one.
        """
        if any(pod.name == workload.name and pod.namespace == workload.namespace for pod in self.pods):
            raise CannotStart(f"There is a workload {workload.name} already; choose another name with --name.", 64)
        workload = self._as_its_service(workload)
        number = next_pod_number(pod.number for pod in self.pods)
        try:
            self.subnet.pod_ip(number)
        except ValueError as error:
            raise CannotStart(f"The lab is full: {error}.") from error
        taken = {port for pod in self.pods for port in pod.app_ports}
        if app_port is not None and app_port in taken:
            raise CannotStart(f"--app-port {app_port} is another pod's private port; choose another.", 64)
        ports = (app_port,) if app_port else choose_app_ports(workload, number, self.subnet, taken, free_port)
        pod = Pod(workload, number, self.subnet, proxy, app_ports=ports)
        self.pods.append(pod)
        try:
            await self._with_client(lambda client: seed.put(client, "sidecars", sidecar_resource(pod, self.pods)))
            component = self.supervisor.start(self._proxy(pod))
            if not await self._wait_ready(component):
                raise CannotStart(self._why_not_ready(component))
        except BaseException:
            await self.leave(pod)
            raise
        return pod

    def _as_its_service(self, workload: Workload) -> Workload:
        """A newcomer to a service keeps to the port and the service account that the service has."""
        for pod in self.pods:
            other = pod.workload
            if (other.namespace, other.service) != (workload.namespace, workload.service) or not other.ports:
                continue
            if other.ports[0].number != workload.ports[0].number or len(other.ports) > 1:
                ports = ", ".join(str(port.number) for port in other.ports)
                raise CannotStart(f"The service {other.service} has the port {ports}: say --port {ports}.", 64)
            return replace(workload, ports=other.ports, service_account=other.service_account)
        return workload

    def register(self, pod: Pod) -> None:
        """Let the mesh send traffic to the pod."""
        self._registered.append(pod)
        self._write_registry()

    async def leave(self, pod: Pod) -> None:
        """Take the pod out: first from the registry, then its Sidecar and its proxy."""
        if pod in self._registered:
            self._registered.remove(pod)
            try:
                self._write_registry()
            except CannotStart as error:  # a full disk: the pod goes all the same
                self._note(str(error), "warning")
        self.pods.remove(pod)
        component = self.supervisor.components.get(f"proxy:{pod.name}")
        if component is not None:
            await self.supervisor.stop([component])
        with contextlib.suppress(CannotStart):
            await self._with_client(lambda client: client.delete(seed.GROUP, "sidecars", pod.namespace, pod.name))
        self._schedule_state()

    def environment_of(self, pod: Pod) -> dict[str, str]:
        return app_environment(pod, tcp_environment(pod, self.pods))

    def state(self) -> dict[str, Any]:
        """What lab.json holds beside its version."""
        components = self.supervisor.components
        return {
            "lab_id": self.lab_id,
            "supervisor": None if self._reference is None else _ref_dict(self._reference),
            "started_at": self._started_at,
            "subnet": self.subnet.prefix,
            "control_plane": self.subnet.control_plane_url,
            "gateway": self.gateway_url,
            "topology": str(self.options.topology),
            "control_socket": str(self.options.home.control_socket),
            "controlplane": self._component_state(components.get("control plane")),
            "mesh_config": str(self.mesh_config),
            "observers": [self._observer_state(each) for each in self.observers],
            "pods": [self._pod_state(pod) for pod in self.pods],
            "processes": self._process_refs(),
        }

    def _observer_state(self, observer: Observer) -> dict[str, Any]:
        return {
            "name": observer.name,
            "ip": observer.ip(self.subnet),
            "url": observer.url(self.subnet),
            **(self._component_state(self.supervisor.components.get(observer.name)) or {}),
        }

    def _pod_state(self, pod: Pod) -> dict[str, Any]:
        components = self.supervisor.components
        return {
            "workload": pod.name,
            "namespace": pod.namespace,
            "kind": pod.kind,
            "ip": pod.ip,
            "outbound_ip": pod.outbound_ip,
            "proxy": pod.proxy,
            "app_port": pod.app_port,
            "environment": self.environment_of(pod),
            "app_state": self._component_state(components.get(f"app:{pod.name}")),
            "proxy_state": self._component_state(components.get(f"proxy:{pod.name}")),
        }

    @staticmethod
    def _component_state(component: Component | None) -> dict[str, Any] | None:
        if component is None:
            return None
        return {
            "pid": component.pid,
            "state": component.state.value,
            "restarts": component.restarts,
            "last_exit": component.last_exit,
        }

    def _process_refs(self) -> list[dict[str, Any]]:
        running = [component.process for component in self.supervisor.components.values()]
        nurseries = [nursery.process for nursery in self.launcher.nurseries.values()]
        return [_ref_dict(process.ref) for process in (*running, *nurseries) if process is not None]

    def _schedule_state(self) -> None:
        if not self._state_due:
            self._state_due = True
            asyncio.get_running_loop().call_soon(self._write_state)

    def _write_state(self) -> None:
        self._state_due = False
        try:
            write_state(self.options.home, self.state())
        except OSError as error:
            self._note(f"cannot write {self.options.home.state_file}: {error.strerror}", "warning")

    def _prepare_mesh_config(self) -> None:
        if self.options.mesh_config is not None:
            return
        try:
            own_mesh_config(self.options.home, self.options.keep)
        except OSError as error:
            raise CannotStart(f"Cannot write {self.options.home.mesh_config_file}: {error.strerror}.") from error

    def _write_registry(self) -> None:
        documents = registry_documents(self._registered, self.subnet, self.options.gateway_port)
        documents += observer_documents(self.options.observers, self.subnet)
        try:
            write_atomically(self.options.home.registry_file, yaml.safe_dump_all(documents, sort_keys=False))
        except OSError as error:
            raise CannotStart(f"Cannot write {self.options.home.registry_file}: {error.strerror}.") from error

    def _control_plane(self) -> Component:
        what = spawn.control_plane(self.options.home, self.subnet, self.mesh_config, self.options.log_level)
        ip = self.subnet.control_plane_ip
        return Component("control plane", what, partial(probes.http_ok, ip, CONTROL_PLANE_HTTP_PORT, "/ready"))

    def _observer(self, observer: Observer) -> Component:
        home, ip, level = self.options.home, observer.ip(self.subnet), self.options.log_level
        if observer.name == "tracing":
            what = spawn.tracing(home, ip, level)
        elif observer.name == "metrics":
            what = spawn.metrics(home, ip, self.subnet, level)
        else:
            what = self._prometheus(ip, observer.page_port)
        return Component(observer.name, what, partial(probes.http_ok, ip, observer.page_port, observer.ready_path))

    def _prometheus(self, ip: str, port: int) -> spawn.Spawn:
        try:
            return prometheus.prepare(self.options.home, self.subnet, ip, port)
        except (LabError, OSError) as error:
            raise CannotStart(f"Prometheus cannot be prepared: {error}") from error

    def _app(self, pod: Pod) -> Component | None:
        what = spawn.app(pod, self.options.home, self.environment_of(pod))
        if what is None or pod.app_port is None:
            return None
        return Component(f"app:{pod.name}", what, partial(probes.tcp_open, "127.0.0.1", pod.app_port))

    def _proxy(self, pod: Pod) -> Component:
        log_service = access_log_service(self.options.observers, self.subnet)
        what = spawn.proxy(pod, self.options.home, self.options.log_level, log_service)
        self.options.home.proxy_dir(pod.name).mkdir(parents=True, exist_ok=True)
        return Component(f"proxy:{pod.name}", what, partial(probes.http_ok, pod.ip, HEALTH_PORT, "/healthz/ready"))

    async def _wait_ready(self, component: Component) -> bool:
        """Whether it got ready, before it failed too often or the time was up."""
        deadline = time.monotonic() + START_TIMEOUT_S
        failures_before = component.restarts
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await component.ready.wait()
                return True
            if component.restarts - failures_before >= FAILURES_TO_GIVE_UP:
                return False
        return False

    def _why_not_ready(self, component: Component) -> str:
        how = component.last_exit or f"not ready within {START_TIMEOUT_S:g} s"
        log = component.spawn.stderr
        tail: list[str] = []
        with contextlib.suppress(OSError):
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        lines = "".join(f"\n    {line}" for line in tail)
        return f"{component.name} does not come up: {how}. Its log is {log}" + (
            f" and ends with:{lines}" if tail else "."
        )

    async def _first_page(self) -> None:
        """Where the topology is Bookinfo's, the lab is up when its page is."""
        if not any(pod.workload.service == "productpage" for pod in self.pods):
            return
        deadline = time.monotonic() + FIRST_PAGE_TIMEOUT_S
        status: int | None = None
        while time.monotonic() < deadline:
            status = await probes.http_status("127.0.0.1", self.options.gateway_port, "/productpage", 10.0)
            if status == 200:
                self._sink({"event": "first page"})
                return
            await asyncio.sleep(0.03)
        answer = "does not answer" if status is None else f"answers {status}"
        self._note(f"{self.gateway_url}/productpage {answer}; `lugsail proxy-status` may tell why", "warning")

    async def _tell_rejections(self) -> None:
        """A proxy is ready with what it accepted; what it rejected must not go unseen."""
        with contextlib.suppress(CannotStart):
            for proxy in await self._with_client(lambda client: client.debug("syncz")):
                for kind, reason in (proxy.get("errors") or {}).items():
                    self._note(f"{proxy['proxy']} rejected {kind}: {reason}", "warning")

    async def _with_client(self, action: Callable[[Client], Any]) -> Any:
        """Talk to the control plane off the loop; raises CannotStart."""

        def talk() -> Any:
            client = Client(self.subnet.control_plane_url)
            try:
                return action(client)
            finally:
                client.close()

        try:
            return await asyncio.to_thread(talk)
        except (ApiError, Unreachable) as error:
            raise CannotStart(f"The control plane does not take the lab's own resources: {error}") from error

    def _note(self, text: str, level: str = "info") -> None:
        self._sink({"event": "note", "level": level, "text": text})


def prepare_store(options: Options) -> None:
    """A new lab begins with an empty store; the last one's is set aside, or kept with --keep."""
    home = options.home
    if options.keep or not home.store_file.exists():
        return
    home.store_file.replace(home.previous_store_file)
    for suffix in ("-wal", "-shm"):  # SQLite's companions belong to the file that they were written for
        companion = home.store_file.with_name(home.store_file.name + suffix)
        target = home.previous_store_file.with_name(home.previous_store_file.name + suffix)
        if companion.exists():
            companion.replace(target)
        else:
            target.unlink(missing_ok=True)


async def run_until_stopped(mesh: Mesh, serve: Callable[[], Awaitable[None]]) -> None:
    """Attend to the mesh beside `serve` (the control socket) until `mesh.stopping` is set."""
    serving = asyncio.ensure_future(serve())
    try:
        await mesh.attend()
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def _ref_dict(ref: ProcessRef) -> dict[str, Any]:
    return {"pid": ref.pid, "start_time": ref.start_time}
