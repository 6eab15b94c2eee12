"""Tracing as the data path reads it: which tracer, how many requests, with which tags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: A share as Envoy decides it: `number % denominator < numerator`.
Share = tuple[int, int]

#: The value of a tag for a request's StreamInfo; None leaves the tag out.
TagValue = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """client_sampling, random_sampling and overall_sampling of HttpConnectionManager.Tracing or of a route."""

    client: Share = (100, 100)
    random: Share = (10_000, 10_000)
    overall: Share = (10_000, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decorator:
    """envoy.config.route.v3.Decorator: the name of the spans of a route; `propagate` tells it to the other side."""

    operation: bytes
    propagate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTracing:
    """envoy.config.route.v3.Tracing: what a route changes. Its tags replace those of the same name."""

    sampling: Sampling = Sampling()
    tags: tuple[tuple[str, TagValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipkinTracer:
    """envoy.config.trace.v3.ZipkinConfig. `w3c`: traceparent is read where there is no B3, and written beside it."""

    cluster: str
    path: str
    host: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    trace_id_128: bool = False
    w3c: bool = False
    timeout_ms: float = 5_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelTracer:
    """envoy.config.trace.v3.OpenTelemetryConfig. `path` is "" where spans go over gRPC; `host` is the authority."""

    cluster: str
    service: str
    host: str
    path: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    timeout_ms: float = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracing:
    """HttpConnectionManager.Tracing with what the listener's direction and request_id_extension say.

    `egress`: the listener's direction is OUTBOUND. `by_request_id`: the decision is made by the request id, and read
    from it; else everything is traced. `pack_reason`: the decision is written into the request id.
    """

    tracer: ZipkinTracer | OtelTracer
    sampling: Sampling = Sampling()
    tags: tuple[tuple[str, TagValue], ...] = ()
    max_path_length: int = 256
    spawn_upstream_span: bool = False
    egress: bool = False
    by_request_id: bool = True
    pack_reason: bool = True
