"""A sidecar's inbound listeners (LDS): virtualInbound where traffic is redirected, bound ports where it is not."""

from typing import Any

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.model.names import BLACK_HOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, inbound_cluster
from controlplane.model.telemetry import SERVER
from controlplane.translate.http_connection_manager import inbound_manager
from controlplane.translate.inbound_ports import InboundPort, inbound_ports
from controlplane.translate.listener import ANY_ADDRESS, http_inspector
from controlplane.translate.protos import any_of, duration, metadata, socket_address, uint32
from controlplane.translate.tcp import tcp_proxy
from controlplane.translate.view import View

VIRTUAL_INBOUND_PORT = 15006
ORIGINAL_DST = "envoy.filters.listener.original_dst"


def inbound_listeners(view: View) -> dict[str, Any]:
    """Listener messages by name."""
    ports = inbound_ports(view)
    out: dict[str, Any] = {}
    for port in ports:
        if port.bind:
            name = f"{port.bind}_{port.target}"
            out.setdefault(name, _bound(view, name, port))
    if view.proxy.captures:
        out["virtualInbound"] = _virtual_inbound(view, [port for port in ports if not port.bind])
    return out


def _bound(view: View, name: str, port: InboundPort) -> Any:
    """A port that the sidecar itself opens, as the Sidecar resource says."""
    chain = _port_chain(view, port)
    sidecar = view.scope.sidecar
    if sidecar is not None:
        chain.metadata.CopyFrom(metadata(istio={"config": sidecar.path}))
    return listener_pb2.Listener(
        name=name,
        address=socket_address(port.bind, port.target),
        filter_chains=[chain],
        traffic_direction=1,  # INBOUND
        listener_filters_timeout=duration(0),
        continue_on_listener_filters_timeout=True,
        max_connections_to_accept_per_socket_event=uint32(1),
    )


def _virtual_inbound(view: View, ports: list[InboundPort]) -> Any:
    """Where redirected connections to the workload arrive; the chain is picked by the original destination's port."""
    loop = listener_components_pb2.FilterChain(
        name="virtualInbound-blackhole", filters=[tcp_proxy(view, SERVER, BLACK_HOLE_CLUSTER, logged=False)]
    )
    loop.filter_chain_match.destination_port.value = VIRTUAL_INBOUND_PORT
    http = listener_components_pb2.FilterChain(
        name="virtualInbound-catchall-http",
        filters=[
            inbound_manager(
                view, INBOUND_PASSTHROUGH_CLUSTER, _routes(INBOUND_PASSTHROUGH_CLUSTER, "inbound|http|0", ":0/*")
            )
        ],
    )
    http.filter_chain_match.transport_protocol = "raw_buffer"
    http.filter_chain_match.application_protocols.extend(["http/1.1", "h2c"])
    tcp = listener_components_pb2.FilterChain(
        name="virtualInbound", filters=[tcp_proxy(view, SERVER, INBOUND_PASSTHROUGH_CLUSTER)]
    )
    tcp.filter_chain_match.transport_protocol = "raw_buffer"
    original_dst = listener_components_pb2.ListenerFilter(
        name=ORIGINAL_DST, typed_config=any_of(original_dst_pb2.OriginalDst())
    )
    return listener_pb2.Listener(
        name="virtualInbound",
        address=socket_address(ANY_ADDRESS, VIRTUAL_INBOUND_PORT),
        filter_chains=[loop, http, tcp, *(_port_chain(view, port) for port in ports)],
        listener_filters=[original_dst, _inspector(ports)],
        listener_filters_timeout=duration(0),
        continue_on_listener_filters_timeout=True,
        traffic_direction=1,  # INBOUND
        max_connections_to_accept_per_socket_event=uint32(1),
    )


def _inspector(ports: list[InboundPort]) -> Any:
    """HTTP detection for all ports but those whose protocol is known, and the listener's own."""
    out = http_inspector()
    known = sorted({port.target for port in ports} | {VIRTUAL_INBOUND_PORT})
    if len(known) == 1:
        _range(out.filter_disabled, known[0])
        return out
    for number in known:
        _range(out.filter_disabled.or_match.rules.add(), number)
    return out


def _range(predicate: Any, number: int) -> None:
    predicate.destination_port_range.start = number
    predicate.destination_port_range.end = number + 1


def _port_chain(view: View, port: InboundPort) -> Any:
    name = f"{port.bind or ANY_ADDRESS}_{port.target}"
    cluster = inbound_cluster(port.target)
    if port.is_http:
        routes = _routes(cluster, f"inbound|http|{port.number}", f"{port.operation_host}:{port.number}/*")
        network_filter = inbound_manager(view, f"inbound_{name}", routes)
    else:
        network_filter = tcp_proxy(view, SERVER, cluster)
    chain = listener_components_pb2.FilterChain(name=name, filters=[network_filter])
    chain.filter_chain_match.destination_port.value = port.target
    chain.filter_chain_match.transport_protocol = "raw_buffer"
    return chain


def _routes(cluster: str, virtual_host: str, operation: str) -> Any:
    """Everything to the application, without a time limit of the sidecar's own."""
    route = route_components_pb2.Route(name="default", match=route_components_pb2.RouteMatch(prefix="/"))
    action = route.route
    action.cluster = cluster
    action.timeout.CopyFrom(duration(0))
    action.max_stream_duration.max_stream_duration.CopyFrom(duration(0))
    action.max_stream_duration.grpc_timeout_header_max.CopyFrom(duration(0))
    # Safe for every method: the application has not seen anything of a request that is reset before it is sent.
    action.retry_policy.retry_on = "reset-before-request"
    action.retry_policy.num_retries.value = 2
    route.decorator.operation = operation
    host = route_components_pb2.VirtualHost(name=virtual_host, domains=["*"], routes=[route])
    return route_pb2.RouteConfiguration(
        name=cluster, virtual_hosts=[host], validate_clusters=BoolValue(value=False)
    )
