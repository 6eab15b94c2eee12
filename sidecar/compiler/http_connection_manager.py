"""envoy.filters.network.http_connection_manager."""

from __future__ import annotations

from typing import Any, Literal

from sidecar.compiler.access_logs import compile_access_logs
from sidecar.compiler.http_filters import compile_chain
from sidecar.compiler.ignored import check
from sidecar.compiler.routes import compile_route_configuration
from sidecar.compiler.tracing import compile_tracing
from sidecar.config.listeners import ForwardedClientCert, HttpConnectionManager
from sidecar.config.protos import timeout_ms, wrapped
from sidecar.config.rejected import At

_FIELDS = (
    "codec_type",
    "stat_prefix",
    "rds",
    "route_config",
    "http_filters",
    "common_http_protocol_options",
    "http_protocol_options",
    "server_name",
    "server_header_transformation",
    "max_request_headers_kb",
    "stream_idle_timeout",
    "request_timeout",
    "request_headers_timeout",
    "delayed_close_timeout",
    "access_log",
    "use_remote_address",
    "xff_num_trusted_hops",
    "skip_xff_append",
    "via",
    "generate_request_id",
    "preserve_external_request_id",
    "always_set_request_id_in_response",
    "forward_client_cert_details",
    "proxy_100_continue",
    "upgrade_configs",
    "normalize_path",
    "merge_slashes",
    "path_with_escaped_slashes_action",
    "tracing",
    "request_id_extension",
)
_COMMON_FIELDS = (
    "idle_timeout",
    "max_connection_duration",
    "max_headers_count",
    "max_stream_duration",
    "max_requests_per_connection",
)
_HTTP1_FIELDS = ("allow_absolute_url", "accept_http_10")
#: CodecType by number.
_CODECS = ("auto", "http1")
_SERVER_HEADER: tuple[Literal["overwrite", "append_if_absent", "pass_through"], ...] = (
    "overwrite",
    "append_if_absent",
    "pass_through",
)
#: PathWithEscapedSlashesAction by number; the implementation's default is to keep them.
_ESCAPED_SLASHES: tuple[Literal["keep", "reject", "unescape_redirect", "unescape_forward"], ...] = (
    "keep",
    "keep",
    "reject",
    "unescape_redirect",
    "unescape_forward",
)
_CLIENT_CERT: tuple[Literal["sanitize", "forward_only", "append_forward", "sanitize_set", "always_forward_only"], ...]
_CLIENT_CERT = ("sanitize", "forward_only", "append_forward", "sanitize_set", "always_forward_only")
_MAX_HEADERS_KB = 8192


def compile_http_connection_manager(proto: Any, at: At, outbound: bool = False) -> HttpConnectionManager:
    """envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.

    `outbound`: the listener says that its traffic leaves the workload.
    """
    check(proto, _FIELDS, at)
    if not proto.stat_prefix:
        at.field("stat_prefix").reject("empty; give a prefix for its statistics")
    if proto.codec_type >= len(_CODECS):
        at.field("codec_type").reject("only AUTO and HTTP1 are supported")
    filters, router = compile_chain(proto.http_filters, at)
    values: dict[str, Any] = {}
    _read_routes(proto, values, at)
    _read_common(proto, values, at)
    _read_http1(proto, values, at)
    _read_timeouts(proto, values, at)
    return HttpConnectionManager(
        stat_prefix=proto.stat_prefix.rstrip(";"),
        http_filters=filters,
        access_logs=compile_access_logs(proto.access_log, at),
        use_remote_address=wrapped(proto, "use_remote_address", False),
        xff_trusted_hops=proto.xff_num_trusted_hops,
        skip_xff_append=proto.skip_xff_append,
        forward_client_cert=ForwardedClientCert(mode=_CLIENT_CERT[proto.forward_client_cert_details]),
        generate_request_id=wrapped(proto, "generate_request_id", True),
        preserve_external_request_id=proto.preserve_external_request_id,
        always_set_request_id_in_response=proto.always_set_request_id_in_response,
        server_name=proto.server_name.encode() or b"envoy",
        server_header=_SERVER_HEADER[proto.server_header_transformation],
        via=proto.via.encode(),
        proxy_100_continue=proto.proxy_100_continue,
        normalize_path=wrapped(proto, "normalize_path", False),
        merge_slashes=proto.merge_slashes,
        escaped_slashes=_ESCAPED_SLASHES[proto.path_with_escaped_slashes_action],
        upgrades=_upgrades(proto, at),
        suppress_envoy_headers=router.suppress_envoy_headers,
        tracing=compile_tracing(proto, outbound, at),
        **values,
    )


def _read_routes(proto: Any, values: dict[str, Any], at: At) -> None:
    kind = proto.WhichOneof("route_specifier")
    if kind == "rds":
        place = at.field("rds")
        source = proto.rds.config_source.WhichOneof("config_source_specifier")
        if source != "ads":
            place.field("config_source").reject(f"routes come over ads only, not {source or 'from nowhere'}")
        if not proto.rds.route_config_name:
            place.field("route_config_name").reject("empty; name the route configuration")
        values["rds_name"] = proto.rds.route_config_name
    elif kind == "route_config":
        values["route_config"] = compile_route_configuration(proto.route_config, at.field("route_config"))
    else:
        at.reject("needs rds or route_config")


def _read_common(proto: Any, values: dict[str, Any], at: At) -> None:
    common, place = proto.common_http_protocol_options, at.field("common_http_protocol_options")
    check(common, _COMMON_FIELDS, place)
    values["idle_timeout_ms"] = timeout_ms(common, "idle_timeout", place, 3_600_000.0)
    values["max_connection_duration_ms"] = timeout_ms(common, "max_connection_duration", place)
    values["max_stream_duration_ms"] = timeout_ms(common, "max_stream_duration", place)
    values["max_headers_count"] = wrapped(common, "max_headers_count", 100)
    values["max_requests_per_connection"] = wrapped(common, "max_requests_per_connection", 0) or None
    kilobytes = wrapped(proto, "max_request_headers_kb", 60)
    if not 1 <= kilobytes <= _MAX_HEADERS_KB:
        at.field("max_request_headers_kb").reject(f"{kilobytes} is not between 1 and {_MAX_HEADERS_KB}")
    values["max_request_headers_bytes"] = kilobytes * 1024


def _read_http1(proto: Any, values: dict[str, Any], at: At) -> None:
    http1 = proto.http_protocol_options
    place = at.field("http_protocol_options")
    check(http1, _HTTP1_FIELDS, place)
    if not wrapped(http1, "allow_absolute_url", True):
        place.field("allow_absolute_url").reject("must be true: requests in absolute form are always taken")
    values["accept_http_10"] = http1.accept_http_10


def _read_timeouts(proto: Any, values: dict[str, Any], at: At) -> None:
    values["stream_idle_timeout_ms"] = timeout_ms(proto, "stream_idle_timeout", at, 300_000.0)
    values["request_timeout_ms"] = timeout_ms(proto, "request_timeout", at)
    values["request_headers_timeout_ms"] = timeout_ms(proto, "request_headers_timeout", at)
    values["delayed_close_timeout_ms"] = timeout_ms(proto, "delayed_close_timeout", at, 1_000.0)


def _upgrades(proto: Any, at: At) -> frozenset[bytes]:
    allowed: set[bytes] = set()
    for index, config in enumerate(proto.upgrade_configs):
        place = at.field("upgrade_configs", index)
        check(config, ("upgrade_type", "enabled"), place)
        name = config.upgrade_type.lower().encode()
        if name == b"connect":
            place.field("upgrade_type").reject("CONNECT is not supported")
        if name in allowed:
            place.field("upgrade_type").reject(f"{config.upgrade_type!r} is there twice")
        if wrapped(config, "enabled", True):
            allowed.add(name)
    return frozenset(allowed)
