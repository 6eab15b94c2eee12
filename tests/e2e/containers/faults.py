"""Ways to break a mesh of containers from outside, as a crash, an operator or a bad network would."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker


class Recovery:
    """How long a restarted container takes, from here to `end`, and how much of that it waited for a free CPU.

    What waits is the main thread of its first process, as the kernel counts it: on a machine whose cores are all
    taken by other tests, that is time which no proxy could make shorter.
    """

    def __init__(self, pid: int) -> None:
        self._counts = Path(f"/proc/{pid}/schedstat")
        self._began, self._waited = time.monotonic(), self._waited_s()
        self.seconds = self.waiting_s = 0.0

    def end(self) -> None:
        self.seconds, self.waiting_s = time.monotonic() - self._began, self._waited_s() - self._waited

    def _waited_s(self) -> float:
        """The second figure: nanoseconds on a run queue (the kernel's Documentation/scheduler/sched-stats)."""
        return int(self._counts.read_text().split()[1]) / 1e9


class Containers:
    """The containers of one compose project, by the service names of its file."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.client = docker.from_env()

    def find(self, service: str) -> Any:
        """The one container of a service; fails the test where there is none or more."""
        found = self.all(service)
        assert len(found) == 1, f"{len(found)} containers of {service}"
        return found[0]

    def all(self, service: str) -> list[Any]:
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        return list(self.client.containers.list(all=True, ignore_removed=True, filters={"label": labels}))

    def kill_9(self, service: str) -> Callable[[], bool]:
        """kill -9 from the host, so that the restart policy acts; a function that says whether another runs now.

        (`docker kill` would count as stopping it by hand, after which the engine restarts nothing.)
        """
        before = self.find(service).attrs["State"]
        os.kill(before["Pid"], signal.SIGKILL)

        def is_back() -> bool:
            state = self.find(service).attrs["State"]
            return bool(state["Running"]) and state["Pid"] not in (0, before["Pid"])

        return is_back

    def recovery(self, service: str) -> Recovery:
        """Its clock starts now; for a container that runs."""
        return Recovery(self.find(service).attrs["State"]["Pid"])

    def replace(self, service: str, environment: dict[str, str]) -> None:
        """Stop an app as compose does, and run another with these settings besides, in the same place."""
        old = self.find(service)
        config, host, name = old.attrs["Config"], old.attrs["HostConfig"], old.name
        old.stop(timeout=10)
        old.remove()
        self.client.containers.run(
            config["Image"],
            config["Cmd"],
            name=name,
            detach=True,
            environment=[*config["Env"], *(f"{key}={value}" for key, value in environment.items())],
            labels=config["Labels"],
            healthcheck={key.lower(): value for key, value in (config.get("Healthcheck") or {}).items()},
            network_mode=host["NetworkMode"],
            restart_policy=host["RestartPolicy"],
        )

    @contextmanager
    def paused(self, *services: str) -> Iterator[None]:
        """Frozen by the cgroup freezer for the length of the block."""
        containers = [self.find(service) for service in services]
        for container in containers:
            container.pause()
        try:
            yield
        finally:
            for container in containers:
                container.unpause()

    @contextmanager
    def disconnected(self, service: str) -> Iterator[None]:
        """Off its network for the length of the block; its aliases and address come back with it."""
        container = self.find(service)
        (name, network), *_ = container.attrs["NetworkSettings"]["Networks"].items()
        there = self.client.networks.get(name)
        there.disconnect(container)
        try:
            yield
        finally:
            there.connect(container, aliases=network["Aliases"], ipv4_address=None)

    def close(self) -> None:
        self.client.close()
