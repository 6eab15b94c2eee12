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
from sidecar.agent.bootstrap import ADMIN_PORT, POD_KEEPALIVE_S
from sidecar.agent.dns import DNS_PORT, NameServer
from sidecar.agent.options import Options
from sidecar.agent.resolv_conf import read_resolv_conf
from sidecar.config.names import NameTable

log = logging.getLogger(__name__)

_START_LIMIT_S = 10.0


class BadEnvironment(Exception):
    """A variable of the environment is wrong; the text names it."""


class PodServices:
    """The services of one pod, on the running loop. `quit()` begins the end of the agent.

    `own_stream`: ask the control plane for the mesh's names ourselves, for a proxy that has no use for them (Envoy).
    Otherwise `on_names` is for the proxy's own xDS client.
    """

    def __init__(
        self,
        options: Options,
        quit: Callable[[], None],
        own_stream: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
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
            unready=self._unready,
            probes=probes,
            scrape=scrape,
        )
        self._page = AgentServer(view, (options.pages_address, AGENT_PORT))
        self._names: NameServer | None = None
        if options.identity.dns_capture:
            resolvers = read_resolv_conf()
            search = resolvers.search[0] if resolvers.search else ""
            self._names = NameServer(("127.0.0.1", DNS_PORT), resolvers.nameservers, search=search)
        self._own_stream = own_stream
        self._options = options
        self._streaming: asyncio.Task[None] | None = None

    @property
    def on_names(self) -> Callable[[NameTable], None] | None:
        """Takes the mesh's names; None where nobody asks for any."""
        return self._names.replace if self._names is not None else None

    async def start(self) -> None:
        """Raises OSError that names the busy address."""
        try:
            if self._names is not None:
                await self._names.start()
                if self._own_stream:
                    self._streaming = asyncio.create_task(self._stream_names(self._names.replace))
            await self._page.start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)
        await self._page.stop()
        if self._names is not None:
            await self._names.stop()

    async def _stream_names(self, on_names: Callable[[NameTable], None]) -> None:
        from envoy.config.core.v3.base_pb2 import Node
        from google.protobuf.json_format import ParseDict

        from sidecar.telemetry.stats import Stats
        from sidecar.xds.client import XdsClient  # gRPC, which the agent of an Envoy has no other use for

        node = ParseDict(self._options.identity.node(), Node())
        await XdsClient.for_names(self._options.discovery, node, Stats(), on_names, POD_KEEPALIVE_S).run()

    def _unready(self) -> str:
        if self._names is not None and not self._names.has_table:
            return "the names of the mesh have not come yet"
        return ""


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
