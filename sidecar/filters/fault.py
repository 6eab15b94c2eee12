"""envoy.filters.http.fault: delays and aborts a share of the requests, to see how the rest of the mesh bears it.

A route's settings replace those of the listener as a whole. The delay comes first, then the abort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault

from sidecar.config.protos import duration_ms, fraction, header_match, reject_unhandled
from sidecar.config.rejected import At
from sidecar.filters.base import DISABLED, FilterKind, FilterStream, HttpFilter, LocalReply, Pause
from sidecar.filters.predicates import HeadersPredicate, headers_predicate
from sidecar.telemetry import response_flags

_FIELDS = ("delay", "abort", "upstream_cluster", "headers", "downstream_nodes", "disable_downstream_cluster_stats")
_BODY = b"fault filter abort"
_DETAILS = "fault_filter_abort"
_GRPC = b"application/grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """HTTPFault, compiled. Shares are in [0, 1]; `abort` None aborts nothing. `upstream_cluster` "" means any."""

    delay_ms: float = 0.0
    delay_share: float = 0.0
    abort_status: int | None = None
    abort_grpc_status: int | None = None
    abort_share: float = 0.0
    upstream_cluster: str = ""
    headers: tuple[HeadersPredicate, ...] = ()
    downstream_nodes: frozenset[bytes] = frozenset()


class FaultFilter(HttpFilter):
    """Injects the faults of the route, or else of the listener."""

    __slots__ = ("_settings",)

    def __init__(self, name: str, settings: FaultSettings) -> None:
        super().__init__(name)
        self._settings = settings

    def acts_with(self, route_config: Any) -> bool:
        """Whether delays or aborts may happen on such routes."""
        settings = self._settings if route_config is None else route_config
        return settings is not DISABLED and bool(settings.delay_share or settings.abort_share)

    def on_request(self, stream: FilterStream) -> LocalReply | Pause | None:
        """A pause for the delay, an abort, or nothing."""
        settings = stream.route_config(self.name)
        if settings is None:
            settings = self._settings
        elif settings is DISABLED:
            return None
        if not settings.delay_share and not settings.abort_share:
            return None
        if not _applies(settings, stream):
            return None
        if settings.delay_share and (settings.delay_share >= 1.0 or stream.random() < settings.delay_share):
            stream.info.response_flags |= response_flags.DELAY_INJECTED
            return Pause(settings.delay_ms, lambda later: _abort(settings, later))
        return _abort(settings, stream)


def _applies(settings: FaultSettings, stream: FilterStream) -> bool:
    request = stream.request
    if settings.upstream_cluster:
        route = stream.info.route
        if route is None or route.action is None or route.action.cluster != settings.upstream_cluster:
            return False
    if not all(test(request) for test in settings.headers):
        return False
    nodes = settings.downstream_nodes
    return not nodes or request.get(b"x-envoy-downstream-service-node") in nodes


def _abort(settings: FaultSettings, stream: FilterStream) -> LocalReply | None:
    share = settings.abort_share
    if not share or (share < 1.0 and stream.random() >= share):
        return None
    flags = response_flags.FAULT_INJECTED
    if settings.abort_grpc_status is None:
        return LocalReply(settings.abort_status or 503, _BODY, _DETAILS, flags)
    if not stream.request.get(b"content-type", b"").startswith(_GRPC):
        # The gRPC status has nowhere to go in a plain HTTP answer.
        return LocalReply(200, _BODY, _DETAILS, flags)
    headers = (
        (b"content-type", _GRPC),
        (b"grpc-status", b"%d" % settings.abort_grpc_status),
        (b"grpc-message", _BODY),
    )
    return LocalReply(200, b"", _DETAILS, flags, headers)


def _read(message: Any, at: At) -> FaultSettings:
    reject_unhandled(message, _FIELDS, at)
    values: dict[str, Any] = {
        "upstream_cluster": message.upstream_cluster,
        "headers": tuple(
            headers_predicate(header_match(one, at.field("headers", i))) for i, one in enumerate(message.headers)
        ),
        "downstream_nodes": frozenset(node.encode() for node in message.downstream_nodes),
    }
    if message.HasField("delay"):
        place = at.field("delay")
        reject_unhandled(message.delay, ("fixed_delay", "percentage"), place)
        values["delay_ms"] = duration_ms(message.delay, "fixed_delay", place)
        if not values["delay_ms"]:
            place.field("fixed_delay").reject("must be more than 0s")
        values["delay_share"] = fraction(message.delay.percentage)
    if message.HasField("abort"):
        place = at.field("abort")
        reject_unhandled(message.abort, ("http_status", "grpc_status", "percentage"), place)
        kind = message.abort.WhichOneof("error_type")
        if kind is None:
            place.reject("needs http_status or grpc_status")
        if kind == "http_status":
            if not 200 <= message.abort.http_status < 600:
                place.field("http_status").reject(f"{message.abort.http_status} is no final status; give 200 to 599")
            values["abort_status"] = message.abort.http_status
        else:
            values["abort_grpc_status"] = message.abort.grpc_status
        values["abort_share"] = fraction(message.abort.percentage)
    return FaultSettings(**values)


FAULT = FilterKind(
    config=HTTPFault,
    build=lambda name, message, at: FaultFilter(name, _read(message, at)),
    route_config=HTTPFault,
    route=_read,
)
