"""How a cluster is spoken to: typed_extension_protocol_options, TCP options, DNS."""

from __future__ import annotations

from typing import Any

from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from sidecar.compiler.ignored import check
from sidecar.config.clusters import Dns, HttpOptions, HttpProtocol, TcpKeepalive
from sidecar.config.protos import duration_ms, timeout_ms, unpack, wrapped
from sidecar.config.rejected import At

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_COMMON_FIELDS = (
    "idle_timeout",
    "max_connection_duration",
    "max_headers_count",
    "max_response_headers_kb",
    "max_requests_per_connection",
)
_DNS_FAMILIES = ("auto", "v4_only", "v6_only", "v4_preferred", "all")


def compile_http_options(proto: Any, at: At) -> HttpOptions:
    """What a cluster says about HTTP; HTTP/1.1 where it says nothing."""
    for name in proto.typed_extension_protocol_options:
        if name != _HTTP_OPTIONS:
            at.field("typed_extension_protocol_options", name).reject("is not supported by this proxy")
    if _HTTP_OPTIONS not in proto.typed_extension_protocol_options:
        return HttpOptions(max_requests_per_connection=wrapped(proto, "max_requests_per_connection", 0) or None)
    at = at.field("typed_extension_protocol_options", _HTTP_OPTIONS)
    options = unpack(proto.typed_extension_protocol_options[_HTTP_OPTIONS], HttpProtocolOptions, at)
    check(
        options,
        (
            "common_http_protocol_options",
            "upstream_http_protocol_options",
            "explicit_http_config",
            "use_downstream_protocol_config",
            "auto_config",
        ),
        at,
    )
    common, place = options.common_http_protocol_options, at.field("common_http_protocol_options")
    check(common, _COMMON_FIELDS, place)
    sni = options.upstream_http_protocol_options
    check(sni, ("auto_sni", "auto_san_validation"), at.field("upstream_http_protocol_options"))
    defaults = HttpOptions()
    return HttpOptions(
        protocol=_protocol(options, at),
        idle_timeout_ms=timeout_ms(common, "idle_timeout", place, defaults.idle_timeout_ms),
        max_connection_duration_ms=timeout_ms(common, "max_connection_duration", place),
        max_requests_per_connection=wrapped(common, "max_requests_per_connection", 0) or None,
        max_headers_count=wrapped(common, "max_headers_count", defaults.max_headers_count),
        max_response_headers_bytes=wrapped(common, "max_response_headers_kb", 60) * 1024,
        auto_sni=sni.auto_sni,
        auto_san_validation=sni.auto_san_validation,
    )


def _protocol(options: HttpProtocolOptions, at: At) -> HttpProtocol:
    kind = options.WhichOneof("upstream_protocol_options")
    if kind == "use_downstream_protocol_config":
        return "downstream"
    if kind == "auto_config":
        return "auto"
    explicit = options.explicit_http_config
    chosen = explicit.WhichOneof("protocol_config")
    if chosen == "http3_protocol_options":
        at.field("explicit_http_config").field(chosen).reject("HTTP/3 is not supported by this proxy")
    return "http2" if chosen == "http2_protocol_options" else "http1"


def compile_keepalive(proto: Any, at: At) -> TcpKeepalive | None:
    """upstream_connection_options.tcp_keepalive."""
    options, place = proto.upstream_connection_options, at.field("upstream_connection_options")
    check(options, ("tcp_keepalive", "happy_eyeballs_config"), place)
    if not options.HasField("tcp_keepalive"):
        return None
    keepalive = options.tcp_keepalive
    return TcpKeepalive(
        probes=wrapped(keepalive, "keepalive_probes", None),
        time_s=wrapped(keepalive, "keepalive_time", None),
        interval_s=wrapped(keepalive, "keepalive_interval", None),
    )


def compile_dns(proto: Any, at: At) -> Dns:
    """dns_refresh_rate, dns_lookup_family and their like."""
    refresh_ms = duration_ms(proto, "dns_refresh_rate", at, 5_000.0) or 0.0
    if refresh_ms < 1.0:
        at.field("dns_refresh_rate").reject("must be 1 ms or more")
    failure, place = proto.dns_failure_refresh_rate, at.field("dns_failure_refresh_rate")
    base_ms = duration_ms(failure, "base_interval", place, refresh_ms) or refresh_ms
    return Dns(
        refresh_ms=refresh_ms,
        failure_base_ms=base_ms,
        failure_max_ms=duration_ms(failure, "max_interval", place, base_ms) or base_ms,
        jitter_ms=duration_ms(proto, "dns_jitter", at, 0.0) or 0.0,
        respect_ttl=proto.respect_dns_ttl,
        family=_DNS_FAMILIES[proto.dns_lookup_family],  # type: ignore[arg-type]
    )
