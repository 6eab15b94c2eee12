from __future__ import annotations

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener

from sidecar.compiler.listener_filters import compile_listener_filters
from sidecar.config.listeners import ListenerFilter
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import STRANGER, proto

TLS = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
HTTP = "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"
ORIGINAL = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"


def filters(*entries: tuple[str, str]) -> tuple[ListenerFilter, ...]:
    rows = ", ".join(f"{{name: n, typed_config: {{'@type': {kind}}}{more}}}" for kind, more in entries)
    return compile_listener_filters(proto(Listener, f"{{listener_filters: [{rows}]}}").listener_filters, At("l"))


def test_kinds_in_order() -> None:
    found = filters((ORIGINAL, ""), (TLS, ""), (HTTP, ""))
    assert [one.kind for one in found] == ["original_dst", "tls_inspector", "http_inspector"]
    assert {one.disabled for one in found} == {None}


@pytest.mark.parametrize(
    ("rule", "ports"),
    [
        ("{destination_port_range: {start: 2, end: 4}}", {2, 3}),
        ("{not_match: {destination_port_range: {start: 2, end: 4}}}", {0, 1, 4, 5}),
        ("{any_match: true}", {0, 1, 2, 3, 4, 5}),
        (
            "{or_match: {rules: [{destination_port_range: {start: 0, end: 1}}, "
            "{destination_port_range: {start: 5, end: 6}}]}}",
            {0, 5},
        ),
        (
            "{and_match: {rules: [{destination_port_range: {start: 0, end: 3}}, "
            "{destination_port_range: {start: 2, end: 6}}]}}",
            {2},
        ),
    ],
)
def test_disabled_by_port(rule: str, ports: set[int]) -> None:
    disabled = filters((TLS, f", filter_disabled: {rule}"))[0].disabled
    assert disabled is not None
    assert {port for port in range(6) if disabled(port)} == ports


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ((STRANGER, ""), ""),
        ((TLS, ", filter_disabled: {}"), ".filter_disabled"),
        ((TLS, ", filter_disabled: {not_match: {}}"), ".filter_disabled.not_match"),
    ],
)
def test_refuses(entry: tuple[str, str], path: str) -> None:
    with pytest.raises(Rejected) as caught:
        filters(entry)
    assert caught.value.path == f"listener_filters[0]{path}"
