"""How a cluster is spoken to: typed_extension_protocol_options, TCP options, DNS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from sidecar.compiler.ignored import check
from sidecar.config.clusters import Dns, HttpOptions, Service, TcpKeepalive, UpstreamTls
from sidecar.config.matchers import StringMatch
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
    _check_protocol(options, at)
    defaults = HttpOptions()
    return HttpOptions(
        idle_timeout_ms=timeout_ms(common, "idle_timeout", place, defaults.idle_timeout_ms),
        max_connection_duration_ms=timeout_ms(common, "max_connection_duration", place),
        max_requests_per_connection=wrapped(common, "max_requests_per_connection", 0) or None,
        max_headers_count=wrapped(common, "max_headers_count", defaults.max_headers_count),
        max_response_headers_bytes=wrapped(common, "max_response_headers_kb", 60) * 1024,
        http2=options.explicit_http_config.HasField("http2_protocol_options"),
    )


def _check_protocol(options: HttpProtocolOptions, at: At) -> None:
    """HTTP/1.1 is spoken: asked for by name, as what clients speak (they cannot but), or by ALPN.

    A cluster of HTTP/2 is taken, since spans over gRPC go to one; a request that is routed there is answered 502 UPE.
    """
    if options.explicit_http_config.HasField("http3_protocol_options"):
        at.field("explicit_http_config").field("http3_protocol_options").reject(
            "HTTP/3 is not spoken by this proxy, only HTTP/1.1; the stock Envoy does"
        )


def compile_auto_tls(proto: Any, tls: UpstreamTls | None, services: tuple[Service, ...], at: At) -> UpstreamTls | None:
    """upstream_http_protocol_options: the server name, and the name its certificate must bear, are those of requests.

    Connections are not made for one request here, so the name is the service's (metadata istio.services), which is
    what requests to the cluster are addressed to.
    """
    if _HTTP_OPTIONS not in proto.typed_extension_protocol_options:
        return tls
    at = at.field("typed_extension_protocol_options", _HTTP_OPTIONS)
    options = unpack(proto.typed_extension_protocol_options[_HTTP_OPTIONS], HttpProtocolOptions, at)
    auto, at = options.upstream_http_protocol_options, at.field("upstream_http_protocol_options")
    check(auto, ("auto_sni", "auto_san_validation"), at)
    if tls is None or not (auto.auto_sni or auto.auto_san_validation):
        return tls
    host = services[0].host if len(services) == 1 else ""
    if not host or host.startswith("*"):
        at.reject("needs the metadata istio.services to name the one host that requests are for; give an sni instead")
    if auto.auto_sni:
        tls = replace(tls, sni=host)
    if auto.auto_san_validation and not tls.match_names:
        tls = replace(tls, match_names=(StringMatch(kind="exact", value=host.lower().encode(), ignore_case=True),))
    return tls


def compile_keepalive(proto: Any, at: At) -> TcpKeepalive | None:
    """upstream_connection_options.tcp_keepalive."""
    options, place = proto.upstream_connection_options, at.field("upstream_connection_options")
    check(options, ("tcp_keepalive",), place)
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
        family=_DNS_FAMILIES[proto.dns_lookup_family],  # type: ignore[arg-type]
    )
