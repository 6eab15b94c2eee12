"""The first protocol of a connection whose filter chain must be chosen: by destination, or by its first bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from sidecar.http.connection import ServerConnection
from sidecar.http.connection_manager import HttpManager
from sidecar.listener import http_inspector, tls_inspector
from sidecar.listener.filter_chain_match import ConnectionFacts, choose
from sidecar.listener.original_dst import original_destination
from sidecar.network.tcp_proxy import TcpConnection, TcpProxyManager

if TYPE_CHECKING:
    from sidecar.listener.manager import ListenerManager, RuntimeListener

#: Bytes that are kept while the chain is not known; the inspectors decide long before.
_MAX_WAITING_BYTES = 64 * 1024

ChainManager = HttpManager | TcpProxyManager


def make_connection(manager: ChainManager, server_name: str = "") -> ServerConnection | TcpConnection:
    """The protocol of a connection whose filter chain is known."""
    if isinstance(manager, HttpManager):
        return ServerConnection(manager, server_name)
    return TcpConnection(manager, server_name)


class Dispatcher(asyncio.Protocol):
    """Hands its transport to the connection of the chain it chose, with the bytes that came meanwhile."""

    def __init__(self, owner: ListenerManager, listener: RuntimeListener) -> None:
        self._owner = owner
        self._listener = listener
        self._waiting = b""
        self._destination: tuple[str, int] = ("0.0.0.0", 0)  # noqa: S104 (not bound)
        self._source: tuple[str, int] = ("0.0.0.0", 0)  # noqa: S104 (not bound)
        self._transport: asyncio.Transport | None = None
        self._timeout = owner.clusters.wheel.deadline(self._on_timeout)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        self._source = transport.get_extra_info("peername")[:2]
        self._destination = transport.get_extra_info("sockname")[:2]
        config = self._listener.config
        if config.use_original_dst or any(one.kind == "original_dst" for one in config.listener_filters):
            original = original_destination(transport.get_extra_info("socket"))
            if original is not None:
                self._destination = original
        if config.use_original_dst:
            self._listener = self._owner.by_destination(self._destination) or self._listener
        if not self._inspectors():
            self._choose(ConnectionFacts(destination=self._destination, source=self._source))
        elif self._listener.config.listener_filters_timeout_ms:
            self._timeout.after(self._listener.config.listener_filters_timeout_ms)

    def _inspectors(self) -> set[str]:
        """The listener filters that want to see bytes here."""
        if not self._listener.needs:
            return set()
        port = self._destination[1]
        return {
            one.kind
            for one in self._listener.config.listener_filters
            if one.kind != "original_dst" and not (one.disabled is not None and one.disabled(port))
        }

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        if self._transport is None:
            return
        kinds = self._inspectors()
        server_name, transport_protocol, protocols = "", "raw_buffer", tuple[str, ...]()
        if "tls_inspector" in kinds:
            hello = tls_inspector.inspect(self._waiting)
            if hello is None:
                return
            if hello.is_tls:
                server_name, protocols = hello.server_name, hello.application_protocols
                transport_protocol = "tls"
        if "http_inspector" in kinds and transport_protocol == "raw_buffer":
            http = http_inspector.inspect(self._waiting)
            if http is None and len(self._waiting) < _MAX_WAITING_BYTES:
                return
            protocols = (http,) if http else ()
        self._choose(
            ConnectionFacts(
                destination=self._destination,
                source=self._source,
                server_name=server_name,
                transport_protocol=transport_protocol,
                application_protocols=protocols,
            )
        )

    def _choose(self, facts: ConnectionFacts) -> None:
        transport = self._transport
        self._timeout.drop()
        if transport is None:
            return
        self._transport = None
        listener = self._listener
        chain = choose(listener.chains, facts) or listener.config.default_filter_chain
        if chain is None:
            listener.no_match.value += 1
            transport.close()
            return
        connection = make_connection(listener.managers[chain], facts.server_name)
        connection.original_destination = self._destination
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._waiting:
            connection.data_received(self._waiting)

    def _on_timeout(self) -> None:
        if self._transport is None:
            return
        if self._listener.config.continue_on_listener_filters_timeout:
            self._choose(ConnectionFacts(destination=self._destination, source=self._source))
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._timeout.drop()
