"""Small helpers over Envoy's protobuf classes that every part of the translation uses."""

from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import UInt32Value

NANOS_PER_SECOND = 1_000_000_000

TYPE_PREFIX = "type.googleapis.com/"
LISTENER_TYPE = f"{TYPE_PREFIX}envoy.config.listener.v3.Listener"
ROUTE_TYPE = f"{TYPE_PREFIX}envoy.config.route.v3.RouteConfiguration"
CLUSTER_TYPE = f"{TYPE_PREFIX}envoy.config.cluster.v3.Cluster"
ENDPOINT_TYPE = f"{TYPE_PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment"
NAME_TABLE_TYPE = f"{TYPE_PREFIX}istio.networking.nds.v1.NameTable"
WORKLOAD_TYPE = f"{TYPE_PREFIX}lugsail.workload.v1.Workload"


def any_of(message: Any) -> AnyMessage:
    """The message in a google.protobuf.Any, serialised deterministically."""
    return AnyMessage(
        type_url=TYPE_PREFIX + message.DESCRIPTOR.full_name, value=message.SerializeToString(deterministic=True)
    )


def duration(seconds: float) -> Duration:
    """google.protobuf.Duration, exact to the nanosecond."""
    total_ns = round(seconds * NANOS_PER_SECOND)
    return Duration(seconds=total_ns // NANOS_PER_SECOND, nanos=total_ns % NANOS_PER_SECOND)


def uint32(value: int) -> UInt32Value:
    """google.protobuf.UInt32Value."""
    return UInt32Value(value=value)


def ads() -> Any:
    """The config source "over this same stream", without a deadline for the first answer."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=duration(0),
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )


def socket_address(address: str, port: int) -> Any:
    """envoy.config.core.v3.Address of an IP (or DNS name) and port; `unix:///path` is a pipe."""
    if address.startswith("unix://"):
        return address_pb2.Address(pipe=address_pb2.Pipe(path=address.removeprefix("unix://")))
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


def metadata(**filters: dict[str, Any]) -> Any:
    """envoy.config.core.v3.Metadata with one struct for each named filter; empty ones are left out."""
    out = base_pb2.Metadata()
    for name, values in filters.items():
        if values:
            struct = Struct()
            struct.update(values)
            out.filter_metadata[name].CopyFrom(struct)
    return out
