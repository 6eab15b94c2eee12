"""The HTTP connection manager of every HTTP filter chain."""

from typing import Any

from envoy.config.core.v3 import protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.model.telemetry import CLIENT, SERVER
from controlplane.translate.access_log import http_access_logs
from controlplane.translate.http_filters import FILTERS
from controlplane.translate.protos import ads, any_of, duration
from controlplane.translate.tracing import tracing_of
from controlplane.translate.view import View

NAME = "envoy.filters.network.http_connection_manager"
SERVER_NAME = "istio-envoy"

_HCM = http_connection_manager_pb2.HttpConnectionManager


def outbound_manager(view: View, stat_prefix: str, route_name: str) -> Any:
    """For requests of the workload, routed by an RDS route configuration."""
    manager = _manager(view, stat_prefix, CLIENT)
    manager.rds.CopyFrom(_rds(route_name))
    manager.use_remote_address.CopyFrom(BoolValue(value=False))
    return _filter(manager)


def inbound_manager(view: View, stat_prefix: str, route_config: Any) -> Any:
    """For requests to the workload, with the routes inside."""
    manager = _manager(view, stat_prefix, SERVER)
    manager.route_config.CopyFrom(route_config)
    manager.use_remote_address.CopyFrom(BoolValue(value=False))
    manager.server_name = SERVER_NAME
    manager.forward_client_cert_details = _HCM.APPEND_FORWARD
    details = manager.set_current_client_cert_details
    details.subject.value = True
    details.dns = True
    details.uri = True
    return _filter(manager)


def gateway_manager(view: View, stat_prefix: str, route_name: str) -> Any:
    """For requests from outside: the peer's address counts, and what it claims about itself does not."""
    manager = _manager(view, stat_prefix, CLIENT)
    manager.rds.CopyFrom(_rds(route_name))
    manager.use_remote_address.CopyFrom(BoolValue(value=True))
    manager.server_name = SERVER_NAME
    manager.forward_client_cert_details = _HCM.SANITIZE_SET
    details = manager.set_current_client_cert_details
    details.subject.value = True
    details.cert = True
    details.dns = True
    details.uri = True
    manager.http_protocol_options.CopyFrom(protocol_pb2.Http1ProtocolOptions())
    return _filter(manager)


def _manager(view: View, stat_prefix: str, side: str) -> Any:
    manager = _HCM(
        stat_prefix=stat_prefix,
        http_filters=[make() for make in FILTERS],
        access_log=http_access_logs(view, side),
        normalize_path=BoolValue(value=True),
        path_with_escaped_slashes_action=_HCM.KEEP_UNCHANGED,
        stream_idle_timeout=duration(0),
        proxy_100_continue=True,
        upgrade_configs=[_HCM.UpgradeConfig(upgrade_type="websocket")],
    )
    settings = view.telemetry.server_tracing if side == SERVER else view.telemetry.client_tracing
    by_request_id = uuid_pb2.UuidRequestIdConfig(
        use_request_id_for_trace_sampling=BoolValue(value=settings.use_request_id)
    )
    manager.request_id_extension.typed_config.CopyFrom(any_of(by_request_id))
    tracing = tracing_of(view, settings)
    if tracing is not None:
        manager.tracing.CopyFrom(tracing)
    return manager


def _rds(route_name: str) -> Any:
    return http_connection_manager_pb2.Rds(config_source=ads(), route_config_name=route_name)


def _filter(manager: Any) -> Any:
    return listener_components_pb2.Filter(name=NAME, typed_config=any_of(manager))
