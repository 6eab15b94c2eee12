"""Spans as Zipkin's JSON (version 2), in the form that Envoy's Zipkin tracer gives them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sidecar.telemetry.span import FinishedSpan

CONTENT_TYPE = b"application/json"
_NS_PER_US = 1000


def encode_zipkin(spans: Iterable[FinishedSpan], service: str, ip: str) -> bytes:
    """The body of POST /api/v2/spans. `service` and `ip` are those of this proxy; either may be ""."""
    endpoint: dict[str, Any] = {"port": 0} if ip else {}
    if service:
        endpoint["serviceName"] = service
    if ip:
        endpoint["ipv6" if ":" in ip else "ipv4"] = ip
    return json.dumps([_span(one, endpoint) for one in spans], separators=(",", ":")).encode()


def _span(span: FinishedSpan, endpoint: dict[str, Any]) -> dict[str, Any]:
    context = span.context
    start_us = span.start_ns // _NS_PER_US
    duration_us = span.duration_ns // _NS_PER_US
    made: dict[str, Any] = {
        "traceId": context.trace_id.decode(),
        "id": context.span_id.decode(),
        "kind": "CLIENT" if span.client else "SERVER",
        "timestamp": start_us,
        "duration": duration_us,
        "localEndpoint": endpoint,
        "annotations": [{"timestamp": start_us + duration_us, "value": "cr" if span.client else "ss"}],
        "tags": {name: value for name, value in span.tags.items() if value},
    }
    if context.parent_id is not None:
        made["parentId"] = context.parent_id.decode()
    if span.name:
        made["name"] = span.name
    return made
