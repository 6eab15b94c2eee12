"""Access logs of listeners: Istio's text format or JSON, to a file or a service, filtered where that is asked for."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf.struct_pb2 import Struct

from controlplane.model.mesh_config import ACCESS_LOG_FORMAT, MeshConfig
from controlplane.model.telemetry import SERVER, LogSettings
from controlplane.translate.http_filters.grpc_stats import NAME as GRPC_STATS
from controlplane.translate.protos import any_of, duration, uint32
from controlplane.translate.view import View
from lugsail.api.mesh_config import FileAccessLog

STANDARD_OUTPUT = "/dev/stdout"
#: The bootstrap's static cluster of Envoy's access log service, and the log's names, as Istio has them.
LOG_SERVICE_CLUSTER = "envoy_accesslog_service"
HTTP_LOG_NAME, TCP_LOG_NAME = "http_envoy_accesslog", "tcp_envoy_accesslog"
#: How long an Envoy collects records, and how many it keeps while the service does not read: about 2,000 requests.
LOG_FLUSH_S = 0.5
#: Who was called, as clusters' and endpoints' metadata had it at that moment. An entry's own fields name neither the
#: cluster nor the side of a request that reached no host.
LOG_TAGS = (
    ("istio.cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("istio.services", "%CLUSTER_METADATA(istio:services)%"),
    ("istio.workload", "%UPSTREAM_METADATA(istio:workload)%"),
)
_LITERAL = custom_tag_pb2.CustomTag.Literal
_REPORTERS = (_LITERAL(value="source"), _LITERAL(value="destination"))
LOG_BUFFER_BYTES = 1024 * 1024

# Istio's default JSON log: label -> command operators.
JSON_FORMAT = {
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}

_Format = substitution_format_string_pb2.SubstitutionFormatString


def http_access_logs(view: View, side: str) -> list[Any]:
    """For HTTP requests. `side`: CLIENT or SERVER."""
    logs = list(_asked_for(view, side))
    if view.mesh.access_log_service and view.proxy.is_stock_envoy:
        config = als_pb2.HttpGrpcAccessLogConfig(
            common_config=_service(HTTP_LOG_NAME, side),
            additional_request_headers_to_log=["content-type"],
            additional_response_headers_to_log=["grpc-status"],
            additional_response_trailers_to_log=["grpc-status"],
        )
        config.common_config.filter_state_objects_to_log.append(GRPC_STATS)
        logs.append(_log("envoy.access_loggers.http_grpc", config))
    return logs


def tcp_access_logs(view: View, side: str) -> list[Any]:
    """For plain TCP connections."""
    logs = list(_asked_for(view, side))
    if view.mesh.access_log_service and view.proxy.is_stock_envoy:
        config = als_pb2.TcpGrpcAccessLogConfig(common_config=_service(TCP_LOG_NAME, side))
        logs.append(_log("envoy.access_loggers.tcp_grpc", config))
    return logs


def _asked_for(view: View, side: str) -> Iterator[Any]:
    telemetry = view.telemetry
    for settings in telemetry.server_logs if side == SERVER else telemetry.client_logs:
        log = _file_log(view.mesh, settings)
        if log is not None:
            yield log


@lru_cache(maxsize=64)
def _file_log(mesh: MeshConfig, settings: LogSettings) -> Any:
    """None for a provider that is not a file."""
    provider = settings.provider
    if provider is None:
        config = file_pb2.FileAccessLog(path=mesh.access_log_file or STANDARD_OUTPUT, log_format=_mesh_format(mesh))
    elif provider.spec.envoy_file_access_log is not None:
        named = provider.spec.envoy_file_access_log
        config = file_pb2.FileAccessLog(path=named.path, log_format=_own_format(mesh, named))
    else:
        return None
    log = _log("envoy.access_loggers.file", config)
    if settings.filter:
        log.filter.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
        log.filter.extension_filter.typed_config.CopyFrom(any_of(cel_pb2.ExpressionFilter(expression=settings.filter)))
    return log


def _log(name: str, config: Any) -> Any:
    return accesslog_pb2.AccessLog(name=name, typed_config=any_of(config))


def _mesh_format(mesh: MeshConfig) -> Any:
    if mesh.access_log_json:
        return _json(json.loads(mesh.access_log_format) if mesh.access_log_format else JSON_FORMAT)
    return _text(mesh.access_log_format or ACCESS_LOG_FORMAT)


def _own_format(mesh: MeshConfig, log: FileAccessLog) -> Any:
    own = log.log_format
    if own is not None and own.labels is not None:
        out = _json(own.labels)
    elif own is not None and own.text:
        out = _text(own.text if own.text.endswith("\n") else f"{own.text}\n")
    else:
        out = _mesh_format(mesh)
    out.omit_empty_values = log.omit_empty_values
    return out


def _text(text: str) -> Any:
    return _Format(text_format_source=base_pb2.DataSource(inline_string=text))


def _json(labels: dict[str, Any]) -> Any:
    fields = Struct()
    fields.update(labels)
    return _Format(json_format=fields)


def _service(log_name: str, side: str) -> Any:
    """Envoy's access log service: every request, as fields."""
    service = grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=LOG_SERVICE_CLUSTER)
    )
    return als_pb2.CommonGrpcAccessLogConfig(
        log_name=log_name,
        grpc_service=service,
        transport_api_version=config_source_pb2.ApiVersion.V3,
        buffer_flush_interval=duration(LOG_FLUSH_S),
        buffer_size_bytes=uint32(LOG_BUFFER_BYTES),
        custom_tags=[
            custom_tag_pb2.CustomTag(tag="istio.reporter", literal=_REPORTERS[side == SERVER]),
            *(custom_tag_pb2.CustomTag(tag=tag, value=value) for tag, value in LOG_TAGS),
        ],
    )
