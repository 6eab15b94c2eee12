"""Listener filters: what looks at a connection before its filter chain is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector

from sidecar.compiler.ignored import check
from sidecar.config.listeners import ListenerFilter
from sidecar.config.rejected import At

PortPredicate = Callable[[int], bool]

_KINDS: dict[str, Literal["original_dst", "tls_inspector", "http_inspector"]] = {
    OriginalDst.DESCRIPTOR.full_name: "original_dst",
    TlsInspector.DESCRIPTOR.full_name: "tls_inspector",
    HttpInspector.DESCRIPTOR.full_name: "http_inspector",
}


def compile_listener_filters(filters: Iterable[Any], at: At) -> tuple[ListenerFilter, ...]:
    """`listener_filters` of a listener. Settings of the inspectors only tune their buffers, so they are not read."""
    compiled = []
    for index, entry in enumerate(filters):
        place = at.field("listener_filters", index)
        check(entry, ("name", "typed_config", "filter_disabled"), place)
        name = entry.typed_config.type_url.rpartition("/")[2]
        if name not in _KINDS:
            place.reject(f"the listener filter {entry.name!r} of type {name or 'none'} is not known to this proxy")
        disabled = None
        if entry.HasField("filter_disabled"):
            disabled = _predicate(entry.filter_disabled, place.field("filter_disabled"))
        compiled.append(ListenerFilter(kind=_KINDS[name], disabled=disabled))
    return tuple(compiled)


def _predicate(match: Any, at: At) -> PortPredicate:
    """envoy.config.listener.v3.ListenerFilterChainMatchPredicate over the destination port."""
    rule = match.WhichOneof("rule")
    if rule == "destination_port_range":
        start, end = match.destination_port_range.start, match.destination_port_range.end
        return lambda port: start <= port < end
    if rule == "any_match":
        return lambda port: True
    if rule == "not_match":
        inner = _predicate(match.not_match, at.field("not_match"))
        return lambda port: not inner(port)
    if rule in ("or_match", "and_match"):
        place = at.field(rule)
        rules = [_predicate(one, place.field("rules", index)) for index, one in enumerate(getattr(match, rule).rules)]
        combine = any if rule == "or_match" else all
        return lambda port: combine(test(port) for test in rules)
    at.reject("needs a rule")
