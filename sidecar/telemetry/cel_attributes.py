"""Envoy's attributes of a finished request, by name, for CEL. None: the request has none.

Durations are nanoseconds, as `duration()` in an expression is. Source: Envoy, "Attributes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar.codec.headers import Headers
from sidecar.telemetry.response_flags import FLAGS
from sidecar.telemetry.stream_info import StreamInfo

Read = Callable[[StreamInfo], Any]

#: Envoy's own bits of %RESPONSE_FLAGS% as a number, in the order of its CoreResponseFlag.
_ENVOY_ORDER = (
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
)  # fmt: skip
_ENVOY_BIT = {letters: 1 << place for place, letters in enumerate(_ENVOY_ORDER)}


class HeaderMap(Mapping[str, str]):
    """Headers by lower-case name, as text."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        value = self._headers.lookup(name.lower().encode()) if isinstance(name, str) else None
        if value is None:
            raise KeyError(name)
        return _text(value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._headers.lookup(name.lower().encode()) is not None

    def __iter__(self) -> Iterator[str]:
        return (_text(name) for name in self._headers)

    def __len__(self) -> int:
        return len(self._headers)


def _text(value: bytes) -> str:
    return str(value, "utf-8", "replace")


def _request(name: bytes) -> Read:
    def read(info: StreamInfo) -> str | None:
        value = info.request_headers.lookup(name) if info.request_headers is not None else None
        return _text(value) if value is not None else None

    return read


def _request_headers(info: StreamInfo) -> HeaderMap | None:
    return HeaderMap(info.request_headers) if info.request_headers is not None else None


def _response_headers(info: StreamInfo) -> HeaderMap | None:
    return HeaderMap(info.response_headers) if info.response_headers is not None else None


def _path_part(part: int) -> Read:
    def read(info: StreamInfo) -> str | None:
        if info.request_headers is None:
            return None
        path = _text(info.request_headers.path)
        return path.partition("?")[part]

    return read


def _duration(info: StreamInfo) -> int | None:
    return info.end_ns - info.start_ns if info.end_ns >= 0 else None


def _backend_latency(info: StreamInfo) -> int | None:
    if info.upstream_start_ns < 0 or info.upstream_first_byte_ns < 0:
        return None
    return info.upstream_first_byte_ns - info.upstream_start_ns


def _flags(info: StreamInfo) -> int:
    return sum(_ENVOY_BIT.get(letters, 0) for bit, (letters, _) in FLAGS.items() if info.response_flags & bit)


def _grpc_status(info: StreamInfo) -> int | None:
    value = info.response_headers.get(b"grpc-status") if info.response_headers is not None else None
    return int(value) if value is not None and value.isdigit() else None


def _known(field: str) -> Read:
    """A text of StreamInfo; "" is not known."""
    return lambda info: getattr(info, field) or None


def _port(field: str) -> Read:
    def read(info: StreamInfo) -> int | None:
        port = getattr(info, field).rpartition(":")[2]
        return int(port) if port.isdigit() else None

    return read


ATTRIBUTES: dict[str, Read] = {
    "request.path": _request(b":path"),
    "request.url_path": _path_part(0),
    "request.query": _path_part(2),
    "request.host": _request(b":authority"),
    "request.scheme": _request(b":scheme"),
    "request.method": _request(b":method"),
    "request.headers": _request_headers,
    "request.referer": _request(b"referer"),
    "request.useragent": _request(b"user-agent"),
    "request.id": _request(b"x-request-id"),
    "request.protocol": _known("protocol"),
    "request.duration": _duration,
    "request.size": lambda info: info.bytes_received,
    "response.code": lambda info: info.response_code or None,
    "response.code_details": _known("response_code_details"),
    "response.flags": _flags,
    "response.grpc_status": _grpc_status,
    "response.headers": _response_headers,
    "response.size": lambda info: info.bytes_sent,
    "response.backend_latency": _backend_latency,
    "source.address": _known("downstream_remote_address"),
    "source.port": _port("downstream_remote_address"),
    "destination.address": _known("downstream_local_address"),
    "destination.port": _port("downstream_local_address"),
    # There is no TLS with clients yet.
    "connection.mtls": lambda info: False,
    "connection.requested_server_name": _known("requested_server_name"),
    "connection.termination_details": _known("connection_termination_details"),
    "upstream.address": _known("upstream_host"),
    "upstream.port": _port("upstream_host"),
    "upstream.local_address": _known("upstream_local_address"),
    "upstream.transport_failure_reason": _known("upstream_transport_failure_reason"),
    "upstream.request_attempt_count": lambda info: info.attempt_count or None,
    "xds.cluster_name": _known("upstream_cluster"),
    "xds.route_name": lambda info: info.route.name if info.route is not None else None,
}
