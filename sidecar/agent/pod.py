"""What an agent does for a pod with a network of its own, beside its proxy: the page on 15020, and DNS."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping

from sidecar.agent.addresses import NoAddress, pod_address
from sidecar.agent.agent_server import AGENT_PORT, AgentServer, AgentView
from sidecar.agent.app_metrics import SCRAPE_VARIABLE, BadScrape, parse_scrape
from sidecar.agent.app_probes import PROBERS_VARIABLE, BadProbes, parse_probes
from sidecar.agent.bootstrap import ADMIN_PORT
from sidecar.agent.options import Options

log = logging.getLogger(__name__)

_START_LIMIT_S = 10.0


class BadEnvironment(Exception):
    """A variable of the environment is wrong; the text names it."""


class PodServices:
    """The services of one pod, on the running loop. `quit()` begins the end of the agent."""

    def __init__(self, options: Options, quit: Callable[[], None], environment: Mapping[str, str] = os.environ) -> None:
        """Raises BadEnvironment."""
        try:
            probes = parse_probes(environment.get(PROBERS_VARIABLE, ""))
            scrape = parse_scrape(environment.get(SCRAPE_VARIABLE, ""))
        except (BadProbes, BadScrape) as error:
            raise BadEnvironment(str(error)) from error
        view = AgentView(
            admin=(options.admin_address, ADMIN_PORT),
            pod_address=_address_now,
            quit=quit,
            probes=probes,
            scrape=scrape,
        )
        self._page = AgentServer(view, (options.pages_address, AGENT_PORT))

    async def start(self) -> None:
        """Raises OSError that names the busy address."""
        await self._page.start()

    async def stop(self) -> None:
        await self._page.stop()


class ServiceThread:
    """Runs a pod's services on a loop of their own, for an agent whose main thread waits for signals."""

    def __init__(self, services: PodServices) -> None:
        self._services = services
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="pod-services", daemon=True)

    def start(self) -> None:
        """Returns when the services answer. Raises OSError that names the busy address."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._services.start(), self._loop).result(_START_LIMIT_S)

    def stop(self) -> None:
        """End the services and their thread."""
        try:
            asyncio.run_coroutine_threadsafe(self._services.stop(), self._loop).result(_START_LIMIT_S)
        except (TimeoutError, OSError) as error:
            log.warning("the pod's services did not end in order: %r", error)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_LIMIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()


def _address_now() -> str:
    """The pod's address, which may have changed since the start; "" while it has none."""
    try:
        return pod_address()
    except (NoAddress, OSError):
        return ""
