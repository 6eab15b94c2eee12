"""Runs a lab from check to clean end: in the foreground of `lugsail up`, or detached from it.

Detached, the lab is `python -m lugsail.lab.run OPTIONS`: it tells its events on an inherited pipe until it is up, and
goes on in its own log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lugsail.lab import checks, plan, prometheus, state
from lugsail.lab.addressing import Subnet
from lugsail.lab.checks import CannotStart
from lugsail.lab.control import ControlServer
from lugsail.lab.errors import LabError
from lugsail.lab.mesh import Mesh, run_until_stopped
from lugsail.lab.mesh_config import check_mesh_config
from lugsail.lab.observers import PROMETHEUS, chosen
from lugsail.lab.paths import Home, source_root
from lugsail.lab.plan import Options
from lugsail.lab.pod import Pod
from lugsail.lab.processes import signal_group
from lugsail.lab.progress import plan_event
from lugsail.lab.supervisor import EventSink
from lugsail.lab.topology import BadTopology, Workload, read_topology


def prepare(options: Options, sink: EventSink) -> tuple[Options, list[Pod], state.HomeLock]:
    """Everything that can be wrong before a process is started; cleans up after a lab that was killed.

    Returns the options (which keep the resources of a lab that was killed), the pods, and the lock on the state
    folder. Raises CannotStart.
    """
    workloads = _read_workloads(options.topology)
    try:
        options.home.create()
        lock = state.HomeLock(options.home)
    except OSError as error:
        raise CannotStart(f"Cannot use the state folder {options.home.root}: {error.strerror}.") from error
    try:
        before = state.read_state(options.home)
        if not lock.take():
            raise CannotStart(_already_running(before))
        if before is not None:
            count = state.clean_up(options.home, before)
            left = f"{count} processes that it left were stopped" if count else "it had left no process"
            text = f"The last mesh was killed, not stopped: {left}; its resources are kept."
            sink({"event": "note", "level": "info", "text": text})
            options = replace(options, keep=True)
        checks.check_control_plane_address(options.subnet)
        checks.check_gateway_port(options.gateway_port)
        try:
            pods = plan.place(workloads, options, checks.free_port)
        except plan.BadOption as error:
            raise CannotStart(str(error), 64) from error
        checks.check_addresses(options.subnet, [ip for pod in pods for ip in (pod.ip, pod.outbound_ip)])
        checks.check_pod_ports(pods)
        checks.check_observer_ports(chosen(options.observers), options.subnet)
        _check_observers(options, sink)
    except BaseException:
        lock.release()
        raise
    return options, pods, lock


def _check_observers(options: Options, sink: EventSink) -> None:
    """The mesh config that was named can be used, and Prometheus is here where it is asked for."""
    try:
        if options.mesh_config is not None:
            for text in check_mesh_config(options.mesh_config):
                sink({"event": "note", "level": "warning", "text": text})
        if PROMETHEUS.name in options.observers:
            prometheus.find_program()
    except LabError as error:
        raise CannotStart(str(error), error.exit_code) from error


def _read_workloads(path: Path) -> tuple[Workload, ...]:
    if not path.exists():
        raise CannotStart(f"There is no topology {path}. Give a compose file: lugsail up --topology FILE", 64)
    try:
        return read_topology(path)
    except BadTopology as error:
        raise CannotStart(str(error), 65) from error


def _already_running(before: state.LabState | None) -> str:
    if before is None or before.supervisor is None:
        return "A mesh is just starting from this state folder. `lugsail status` shows it; `lugsail down` stops it."
    return (
        f"A mesh is running already (pid {before.supervisor.pid}, {before.data.get('gateway')}). "
        f"`lugsail status` shows it; `lugsail down` stops it."
    )


def run(options: Options, sink: EventSink) -> int:
    """Run a lab in this process until it is told to stop; the exit code. Raises CannotStart."""
    options, pods, lock = prepare(options, sink)
    try:
        return asyncio.run(_run(options, pods, sink))
    finally:
        lock.release()


async def _run(options: Options, pods: list[Pod], sink: EventSink) -> int:
    server: ControlServer | None = None

    def tell(event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed must not keep the lab from stopping
            sink(event)
        if server is not None:
            server.tell(event)

    observers = {each.name: each.ip(options.subnet) for each in chosen(options.observers)}
    tell(plan_event(pods, options.subnet.control_plane_ip, observers))
    mesh = Mesh(options, pods, tell)
    server = ControlServer(mesh)
    mesh.launcher.adopt_orphans()
    _stop_on_signals(mesh)
    serving = asyncio.create_task(run_until_stopped(mesh, server.serve))
    starting = asyncio.create_task(mesh.start())
    try:
        await asyncio.wait({starting, serving}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            failed = starting.result()
            names = {"gateway": mesh.gateway_url, "control_plane": options.subnet.control_plane_url}
            urls = {each.name: each.url(options.subnet) for each in mesh.observers}
            has_bookinfo = any(pod.workload.service == "productpage" for pod in pods)
            tell({"event": "up", "failed": failed, "bookinfo": has_bookinfo, "observers": urls, **names})
            await asyncio.shield(serving)
        return 0
    finally:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, CannotStart):
            await starting
        mesh.stopping.set()
        tell({"event": "stopping"})
        await mesh.stop()
        await serving
        tell({"event": "stopped"})


def _stop_on_signals(mesh: Mesh) -> None:
    """The first signal stops the lab in order; a second one ends everything at once."""

    def stop() -> None:
        if mesh.stopping.is_set():
            for component in mesh.supervisor.components.values():
                if component.process is not None:
                    signal_group(component.process.pid, signal.SIGKILL)
        mesh.stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)


def run_detached(options: Options) -> Iterator[dict[str, Any]]:
    """Start a lab of its own and give its events until it is up (or has failed: an `error` event)."""
    read_end, write_end = os.pipe()
    options.home.create()
    log = options.home.log("lab")
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source_root()), environment.get("PYTHONPATH"))))
    with log.open("ab") as stream:
        child = subprocess.Popen(
            [sys.executable, "-m", "lugsail.lab.run", encode(options), str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=(write_end,),
            start_new_session=True,
            env=environment,
        )
    os.close(write_end)
    decided = False
    with os.fdopen(read_end, "rb") as events:
        for line in events:
            event = json.loads(line)
            decided = decided or event["event"] in ("up", "error")
            yield event
    if not decided:
        code = child.wait()
        how = f"ended with exit code {code}" if code else "was stopped before it was up"
        yield {"event": "error", "text": f"The mesh {how}; its log is {log}.", "exit_code": 1}
    child.returncode = child.returncode or 0  # it goes on without us


def encode(options: Options) -> str:
    """The options as one argument."""
    plain = asdict(options)
    plain["home"] = str(options.home.root)
    plain["subnet"] = options.subnet.prefix
    plain["topology"] = str(options.topology)
    plain["mesh_config"] = str(options.mesh_config) if options.mesh_config else None
    return json.dumps(plain)


def decode(text: str) -> Options:
    plain: dict[str, Any] = json.loads(text)
    return Options(
        **{
            **plain,
            "home": Home(Path(plain["home"])),
            "subnet": Subnet.parse(plain["subnet"]),
            "topology": Path(plain["topology"]),
            "mesh_config": Path(plain["mesh_config"]) if plain["mesh_config"] else None,
            "observers": tuple(plain["observers"]),
        }
    )


class PipeSink:
    """Events to the parent's pipe until the lab is up, and all of them to this process's log."""

    def __init__(self, descriptor: int) -> None:
        self._pipe: int | None = descriptor

    def __call__(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event)
        with contextlib.suppress(OSError):
            print(time.strftime("%Y-%m-%dT%H:%M:%S"), line, flush=True)
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, line.encode() + b"\n")
        except OSError:  # the parent went away: nobody to tell
            self._close()
        if event["event"] in ("up", "error"):
            self._close()

    def _close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def main(argv: list[str]) -> int:
    sink = PipeSink(int(argv[1]))
    try:
        return run(decode(argv[0]), sink)
    except CannotStart as error:
        sink({"event": "error", "text": str(error), "exit_code": error.exit_code})
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
