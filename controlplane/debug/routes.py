"""The debug pages, the metrics page and the distribution stream, as aiohttp routes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from controlplane.apiserver.errors import ApiError
from controlplane.apiserver.storage import Store
from controlplane.debug import views
from controlplane.debug.metrics import ControlPlaneMetrics
from controlplane.sources.aggregate import Registry
from controlplane.xds.connection import Connection
from controlplane.xds.distribution import follow
from controlplane.xds.server import AdsServer
from controlplane.xds.snapshot import SnapshotKeeper
from controlplane.xds.status import ProxyStatus, StatusBoard
from controlplane.xds.translation import Translates

LONGEST_WAIT_S = 600.0
DEFAULT_WAIT_S = 10.0
DISTRIBUTION_LIMIT = 64

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


class DebugPages:
    """`push_all` sends everything again to every proxy; `is_serving`: whether the xDS port is open."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        keeper: SnapshotKeeper,
        translator: Translates,
        ads: AdsServer,
        board: StatusBoard,
        metrics: ControlPlaneMetrics,
        push_all: Callable[[], None],
        is_serving: Callable[[], bool],
    ) -> None:
        self._store = store
        self._registry = registry
        self._keeper = keeper
        self._translator = translator
        self._ads = ads
        self._board = board
        self._metrics = metrics
        self._push_all = push_all
        self._is_serving = is_serving
        self._followers = 0

    def routes(self) -> list[web.RouteDef]:
        """For both ports."""
        return [
            web.get("/debug", self.list),
            web.get("/debug/list", self.list),
            web.get("/debug/syncz", self.syncz),
            web.get("/debug/configz", self.configz),
            web.get("/debug/registryz", self.registryz),
            web.get("/debug/endpointz", self.endpointz),
            web.get("/debug/adsz", self.adsz),
            web.get("/debug/connections", self.connections),
            web.get("/debug/push_status", self.push_status),
            web.get("/debug/config_dump", self.config_dump),
            web.get("/debug/ndsz", self.ndsz),
            web.get("/debug/mesh", self.mesh),
            web.get("/ready", self.ready),
        ]

    def monitoring_routes(self) -> list[web.RouteDef]:
        """For the monitoring port alone."""
        return [web.get("/metrics", self.metrics), web.get("/version", self.version)]

    def api_routes(self) -> list[web.RouteDef]:
        """For the API's port alone."""
        return [web.get("/apis/lugsail.io/v1/distribution", self.distribution), web.get("/version", self.version)]

    async def list(self, _: web.Request) -> web.StreamResponse:
        """What there is."""
        return _json({path.path: (path.handler.__doc__ or "").strip() for path in self.routes()})

    async def syncz(self, _: web.Request) -> web.StreamResponse:
        """Per proxy and type: SYNCED, STALE, NOT SENT or NACKED, with the errors."""
        return _json(views.syncz(self._board))

    async def configz(self, _: web.Request) -> web.StreamResponse:
        """The applied resources."""
        return _json([stored.to_dict() for stored in self._store.list()])

    async def registryz(self, _: web.Request) -> web.StreamResponse:
        """Services, and the sources that told of them."""
        return _json(views.registryz(self._snapshot(), self._registry))

    async def endpointz(self, _: web.Request) -> web.StreamResponse:
        """Endpoints by service."""
        return _json(views.endpointz(self._snapshot()))

    async def adsz(self, request: web.Request) -> web.StreamResponse:
        """Streams and their subscriptions; with ?push=true everything is sent again."""
        if request.query.get("push") == "true":
            self._push_all()
        return _json(views.adsz(self._ads.connections.values(), self._board.latest_revision))

    async def connections(self, _: web.Request) -> web.StreamResponse:
        """Who is connected, from where, in which protocol variant."""
        return _json(views.connections(self._board))

    async def push_status(self, _: web.Request) -> web.StreamResponse:
        """The newest push, warnings, and what failed."""
        return _json(views.push_status(self._board, self._snapshot(), self._ads.connections, self._translator))

    async def mesh(self, _: web.Request) -> web.StreamResponse:
        """Mesh-wide settings."""
        snapshot = self._snapshot()
        return _json(views.mesh(snapshot) if snapshot is not None else {})

    async def config_dump(self, request: web.Request) -> web.StreamResponse:
        """What a proxy should have: ?proxyID=WORKLOAD.NAMESPACE."""
        stream, snapshot = self._asked_stream(request, self._board.current())
        return _json(views.config_dump(stream, self._translator, snapshot))

    async def ndsz(self, request: web.Request) -> web.StreamResponse:
        """The name table of a proxy's agent: ?proxyID=WORKLOAD.NAMESPACE."""
        streams = {**self._board.current(), **self._board.names_streams()}
        stream, snapshot = self._asked_stream(request, streams)
        return _json(views.ndsz(stream, self._translator, snapshot))

    def _asked_stream(self, request: web.Request, streams: Mapping[str, ProxyStatus]) -> tuple[Connection, Any]:
        """The connection that ?proxyID names and the newest snapshot. Raises ApiError 404."""
        wanted = request.query.get("proxyID", "")
        status = streams.get(wanted)
        snapshot = self._snapshot()
        if status is None or snapshot is None:
            known = ", ".join(sorted(streams)) or "none"
            raise ApiError(404, f"no proxy {wanted!r} is connected; give ?proxyID=NAME.NAMESPACE of: {known}")
        return self._ads.connections[status.connection_id], snapshot

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """200 once xDS is served, 503 with what is missing before."""
        if self._is_serving():
            return web.Response(text="ok\n")
        missing = self._registry.waiting_for() or ["the first snapshot to be served"]
        if self._board.build_error is not None:
            missing.append(self._board.build_error[1])
        return web.Response(status=503, text="waiting for " + "; ".join(missing) + "\n")

    async def version(self, _: web.Request) -> web.StreamResponse:
        """The shape of Kubernetes' /version."""
        from importlib.metadata import version

        major, minor, *_rest = version("lugsail").split(".")
        return _json({"major": major, "minor": minor, "gitVersion": f"v{version('lugsail')}"})

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        """Prometheus' text format."""
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def distribution(self, request: web.Request) -> web.StreamResponse:
        """How a revision spreads: ?revision=N&timeout=10s, one JSON object a line."""
        revision = self._revision(request)
        timeout_s = parse_wait(request.query.get("timeout", ""))
        if self._followers >= DISTRIBUTION_LIMIT:
            raise ApiError(429, f"{DISTRIBUTION_LIMIT} distributions are followed already; try again")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        self._followers += 1
        try:
            await response.prepare(request)
            async for batch in follow(self._board, revision, timeout_s):
                lines = [json.dumps(line, separators=(",", ":")) for line in batch]
                await response.write("".join(f"{line}\n" for line in lines).encode())
            await response.write_eof()
        finally:
            self._followers -= 1
        return response

    def _revision(self, request: web.Request) -> int:
        latest = self._board.latest_revision
        text = request.query.get("revision", str(latest))
        if not text.isdecimal() or len(text) > 18:
            raise ApiError(400, f"revision {text!r} is not a number; X-Lugsail-Revision of a write has it")
        if int(text) > latest:
            raise ApiError(404, f"revision {text} does not exist yet; the latest is {latest}")
        return int(text)

    def _snapshot(self) -> Any:
        return self._keeper.current.snapshot if self._keeper.current is not None else None


def parse_wait(text: str) -> float:
    """`10s`, `500ms`, `2m` or seconds → seconds, bounded. Raises ApiError 400."""
    if not text:
        return DEFAULT_WAIT_S
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ApiError(400, f"timeout {text!r} is not a duration; write 10s, 500ms or 2m")
    return min(float(match[1]) * _UNITS_S[match[2]], LONGEST_WAIT_S)


def _json(value: Any) -> web.Response:
    return web.json_response(value, dumps=lambda v: json.dumps(v, indent=2, default=str) + "\n")
