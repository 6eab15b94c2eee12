"""What the control plane tells: who runs at which address, and which proxies there are to scrape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.metrics.labels import Workload
from services.metrics.own_metrics import OwnMetrics

log = logging.getLogger("metrics")

POLL_S = 1.0
_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
MAX_ANSWER_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A proxy's page. `labels` are those that Prometheus would give its series, without `instance`."""

    instance: str
    path: str
    labels: tuple[tuple[str, str], ...]

    @property
    def url(self) -> str:
        return f"http://{self.instance}{self.path}"


class Directory:
    """Asks every second; what was known stays known while the control plane does not answer."""

    def __init__(self, control_plane: str, metrics: OwnMetrics) -> None:
        self.by_address: Mapping[str, Workload] = {}
        self.targets: tuple[Target, ...] = ()
        self.answered = asyncio.Event()
        self._url = control_plane
        self._metrics = metrics
        self._etag = ""

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until cancelled."""
        failing = False
        while True:
            try:
                await self.refresh(session)
                failing = False
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
                self._metrics.directory_failed()
                log.log(logging.DEBUG if failing else logging.WARNING, "%s does not answer: %r", self._url, error)
                failing = True
            await asyncio.sleep(POLL_S)

    async def refresh(self, session: aiohttp.ClientSession) -> None:
        """Ask once. Raises what aiohttp raises, ValueError, KeyError and TypeError."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        url = f"{self._url}/apis/lugsail.io/v1/workloads"
        async with session.get(url, headers=headers, timeout=_TIMEOUT) as answer:
            if answer.status == 200:
                self.by_address = workloads_of(await answer.json())
                self._etag = answer.headers.get("ETag", "")
            elif answer.status != 304:
                raise ValueError(f"{url}: status {answer.status}")
        async with session.get(f"{self._url}/sd/prometheus", timeout=_TIMEOUT) as answer:
            answer.raise_for_status()
            self.targets = targets_of(await answer.json())
        self._metrics.targets(len(self.targets))
        self.answered.set()


def workloads_of(answer: Mapping[str, Any]) -> dict[str, Workload]:
    """By address."""
    names = ("name", "namespace", "app", "version", "canonical_service", "canonical_revision", "cluster")
    return {str(item["address"]): Workload(**{name: str(item[name]) for name in names}) for item in answer["items"]}


def targets_of(groups: Any) -> tuple[Target, ...]:
    """The proxies among Prometheus' targets."""
    found = []
    for group in groups:
        labels = {str(name): str(value) for name, value in group["labels"].items()}
        if "proxy" not in labels:
            continue
        path = labels.get("__metrics_path__", "/metrics")
        shown = tuple((name, value) for name, value in sorted(labels.items()) if value and not name.startswith("__"))
        found += [Target(str(target), path, shown) for target in group["targets"]]
    return tuple(found)
