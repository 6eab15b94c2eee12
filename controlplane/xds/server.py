"""Envoy's Aggregated Discovery Service over gRPC: both variants, every stream with its own worker."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3.ads_pb2_grpc import (
    AggregatedDiscoveryServiceServicer,
    add_AggregatedDiscoveryServiceServicer_to_server,
)

from controlplane.model.proxy import InvalidNode, Proxy
from controlplane.xds.codec import Codec, DeltaCodec, SotwCodec
from controlplane.xds.connection import AsksTooMuch, Connection, Push
from controlplane.xds.observer import XdsObserver
from controlplane.xds.references import ReferenceCache
from controlplane.xds.status import StatusBoard
from controlplane.xds.translation import Translates
from controlplane.xds.type_urls import NDS

log = logging.getLogger(__name__)

STREAM_LIMIT = 2000
RECEIVE_LIMIT_BYTES = 4 * 1024 * 1024
SEND_LIMIT_BYTES = 64 * 1024 * 1024
FIRST_REQUEST_TIMEOUT_S = 15.0

_OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.max_send_message_length", SEND_LIMIT_BYTES),
    ("grpc.max_concurrent_streams", STREAM_LIMIT),
    # A peer that vanished without a FIN is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    # A second server on the port is a mistake to tell, not a way to share the load.
    ("grpc.so_reuseport", 0),
)


class PortTaken(OSError):
    """The address cannot be bound."""


class AdsServer(AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """`current()` is the newest push, from which a new stream starts."""

    def __init__(
        self,
        translator: Translates,
        current: Callable[[], Push],
        board: StatusBoard,
        observer: XdsObserver,
        clock: Callable[[], float],
    ) -> None:
        self.connections: dict[str, Connection] = {}
        self._translator = translator
        self._current = current
        self._board = board
        self._observer = observer
        self._clock = clock
        self._references = ReferenceCache()
        self._numbers = itertools.count(1)
        self._server: grpc.aio.Server | None = None

    @property
    def is_serving(self) -> bool:
        return self._server is not None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises PortTaken."""
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=STREAM_LIMIT)
        add_AggregatedDiscoveryServiceServicer_to_server(self, server)
        try:
            bound = server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise PortTaken(str(error)) from error
        if bound == 0:
            raise PortTaken(f"{host}:{port} cannot be bound")
        await server.start()
        self._server = server
        return int(bound)

    async def stop(self, grace_s: float = 0.2) -> None:
        """End every stream; proxies keep their configuration and reconnect."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    def push(self, push: Push) -> None:
        """Offer a new snapshot to every proxy. Returns at once."""
        for connection in self.connections.values():
            connection.push(push)

    async def StreamAggregatedResources(
        self, request_iterator: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """State of the world."""
        await self._serve(request_iterator, context, SotwCodec())

    async def DeltaAggregatedResources(
        self, request_iterator: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Incremental."""
        await self._serve(request_iterator, context, DeltaCodec())

    async def _serve(
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any], codec: Codec
    ) -> None:
        try:
            async with asyncio.timeout(FIRST_REQUEST_TIMEOUT_S):
                first = await anext(requests)
        except (StopAsyncIteration, TimeoutError):
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no first request")
        try:
            proxy = Proxy.from_node(first.node)
        except InvalidNode as error:
            log.warning("stream from %s refused: %s", context.peer(), error)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        connection_id = f"{proxy.id}-{next(self._numbers)}"
        address = proxy.addresses[0] if proxy.addresses else ""
        who = (connection_id, proxy.id, proxy.kind, address, codec.name, context.peer())
        # Whoever wants clusters asks for them first.
        status = self._board.connect(*who, names_only=first.type_url == NDS)
        connection = Connection(
            proxy,
            codec,
            self._translator,
            self._current(),
            status,
            self._observer,
            self._references,
            self._clock,
            context.write,
        )
        self.connections[connection_id] = connection
        self._observer.connected(len(self.connections))
        log.info("%s connected (%s, %s)", proxy.id, codec.name, context.peer())
        try:
            await self._run(connection, first, requests, context)
        finally:
            del self.connections[connection_id]
            if all(other.proxy != proxy for other in self.connections.values()):
                self._translator.forget(proxy)
            self._board.disconnect(connection_id)
            self._observer.connected(len(self.connections))
            log.info("%s disconnected (%s)", proxy.id, context.peer())

    async def _run(
        self,
        connection: Connection,
        first: Any,
        requests: AsyncIterator[Any],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Read beside the worker until the client is gone or one of them fails."""

        async def read() -> None:
            await connection.feed(first)
            async for request in requests:
                await connection.feed(request)

        reader = asyncio.create_task(read())
        worker = asyncio.create_task(connection.run())
        try:
            done, _ = await asyncio.wait((reader, worker), return_when=asyncio.FIRST_COMPLETED)
            error = next((task.exception() for task in done if task.exception()), None)
        finally:
            reader.cancel()
            worker.cancel()
            await asyncio.gather(reader, worker, return_exceptions=True)
        if isinstance(error, AsksTooMuch):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        if error is not None and not context.cancelled():
            log.error("%s: the stream ends", connection.status.proxy_id, exc_info=error)
