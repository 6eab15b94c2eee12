"""A sidecar's outbound listeners (LDS): by port for HTTP, by address and port for TCP, and the catch-all."""

from dataclasses import dataclass, field
from typing import Any

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.model.config import Config
from controlplane.model.mesh_snapshot import Conflict
from controlplane.model.names import BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER
from controlplane.model.service import Port, Service
from controlplane.model.sidecar_scope import HTTP_PROXY, EgressListener
from controlplane.model.telemetry import CLIENT
from controlplane.translate.http_connection_manager import outbound_manager
from controlplane.translate.protos import any_of, duration, socket_address, uint32
from controlplane.translate.tcp import filter_chain, service_chains, tcp_proxy
from controlplane.translate.view import View

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - Istio's name for "any address"; what it binds is the proxy's business
VIRTUAL_OUTBOUND_PORT = 15001
_HTTP_PROTOCOLS = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", HTTP_PROXY})
TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"
# Enough for the server name of a ClientHello; Envoy reads on when it is not.
TLS_INSPECTOR_BYTES = 512


@dataclass(eq=False)
class _Draft:
    """A listener while services are added to it."""

    bind: str
    port: int
    http: bool
    owner: Config[Any]
    bound: bool
    chains: list[Any] = field(default_factory=list)


def outbound_listeners(view: View) -> dict[str, Any]:
    """Listener messages by name."""
    drafts: dict[str, _Draft] = {}
    for listener in view.scope.egress:
        if listener.port:
            _add_explicit(view, listener, drafts)
        else:
            _add_catch_all(view, listener, drafts)
    out = {name: _finish(view, name, draft) for name, draft in drafts.items()}
    if view.proxy.captures:
        out["virtualOutbound"] = _virtual_outbound(view)
    return out


def _add_explicit(view: View, listener: EgressListener, drafts: dict[str, _Draft]) -> None:
    """An egress listener of the Sidecar with a port: one listener, whatever services it imports."""
    assert listener.spec is not None and view.scope.sidecar is not None
    bound = not view.proxy.captures or listener.spec.capture_mode == "NONE"
    bind = listener.spec.bind or ("127.0.0.1" if bound else ANY_ADDRESS)
    if listener.protocol in _HTTP_PROTOCOLS:
        _add_http(view, bind, listener.port, view.scope.sidecar, bound, drafts)
        return
    for service in listener.services:
        for port in service.ports:
            if not port.is_http:
                shown = Port(port.number, port.name, listener.protocol, port.target)
                _add_tcp(view, listener, service, shown, bind, listener.port, bound, drafts)


def _add_catch_all(view: View, listener: EgressListener, drafts: dict[str, _Draft]) -> None:
    """The egress listener of all other ports: a listener for each port (HTTP) or address and port (TCP)."""
    bound = not view.proxy.captures
    if listener.spec is not None and listener.spec.capture_mode == "NONE":
        bound = True
    explicit_bind = listener.spec.bind if listener.spec is not None else ""
    wildcard = explicit_bind or ("127.0.0.1" if bound else ANY_ADDRESS)
    taken = {(d.bind, d.port) for d in drafts.values()}
    for service in listener.services:
        for port in service.ports:
            if port.is_http:
                if (wildcard, port.number) not in taken:
                    _add_http(view, wildcard, port.number, service.config, bound, drafts)
                continue
            own = [a for a in service.addresses_for(view.proxy) if "/" not in a and ":" not in a]
            for bind in own if own and not bound else [wildcard]:
                if (bind, port.number) not in taken:
                    _add_tcp(view, listener, service, port, bind, port.number, bound, drafts)


def _add_http(
    view: View, bind: str, port: int, owner: Config[Any], bound: bool, drafts: dict[str, _Draft]
) -> None:
    name = f"{bind}_{port}"
    known = drafts.get(name)
    if known is not None:
        if not known.http:
            _note_conflict(view, owner, name, known)
        return
    drafts[name] = _Draft(bind, port, True, owner, bound)


def _add_tcp(
    view: View,
    listener: EgressListener,
    service: Service,
    port: Port,
    bind: str,
    listen_port: int,
    bound: bool,
    drafts: dict[str, _Draft],
) -> None:
    name = f"{bind}_{listen_port}"
    known = drafts.get(name)
    if known is not None and known.http:
        _note_conflict(view, service.config, name, known)
        return
    draft = known or _Draft(bind, listen_port, False, service.config, bound)
    addresses = service.addresses_for(view.proxy)
    subnets = tuple(address for address in addresses if "/" in address)
    wildcard = bind not in addresses
    chains = service_chains(view, service, port, listen_port, listener.virtual_services, wildcard, subnets)
    taken = {chain.filter_chain_match.SerializeToString() for chain in draft.chains}
    for chain in chains:
        if chain.filter_chain_match.SerializeToString() in taken:
            _note_conflict(view, service.config, name, draft)
        else:
            draft.chains.append(chain)
    drafts[name] = draft


def _note_conflict(view: View, loser: Config[Any], name: str, winner: _Draft) -> None:
    view.conflicts.append(
        Conflict(loser.key, f"listener {name} is already taken by {winner.owner.key}; the oldest wins")
    )


def _finish(view: View, name: str, draft: _Draft) -> Any:
    out = listener_pb2.Listener(
        name=name,
        address=socket_address(draft.bind, draft.port),
        traffic_direction=2,  # OUTBOUND
        listener_filters_timeout=duration(0),
        continue_on_listener_filters_timeout=True,
    )
    if draft.bound:
        out.max_connections_to_accept_per_socket_event.CopyFrom(uint32(1))
    else:
        out.bind_to_port.CopyFrom(BoolValue(value=False))
    if draft.http:
        manager = outbound_manager(view, f"outbound_{name}", str(draft.port))
        chain = filter_chain([manager])
        if not draft.bound:
            chain.filter_chain_match.transport_protocol = "raw_buffer"
            chain.filter_chain_match.application_protocols.extend(["http/1.1", "h2c"])
            out.listener_filters.append(http_inspector())
        out.filter_chains.append(chain)
    else:
        out.filter_chains.extend(sorted(draft.chains, key=_chain_order))
        if any(chain.filter_chain_match.server_names for chain in draft.chains):
            out.listener_filters.append(tls_inspector())
    if not draft.bound and all(chain.HasField("filter_chain_match") for chain in out.filter_chains):
        out.default_filter_chain.CopyFrom(_passthrough_chain(view))
    return out


def _chain_order(chain: Any) -> tuple[bool, int]:
    """Chains with a match come first; the rest keeps its order."""
    return (not chain.HasField("filter_chain_match"), 0)


def _passthrough_chain(view: View) -> Any:
    """For connections that no chain fits: on to where they were going, or nowhere."""
    chain = listener_components_pb2.FilterChain(name="PassthroughFilterChain", filters=[_unknown_traffic(view)])
    chain.filter_chain_match.SetInParent()
    return chain


def _unknown_traffic(view: View) -> Any:
    if view.scope.allow_any:
        return tcp_proxy(view, CLIENT, PASSTHROUGH_CLUSTER)
    return tcp_proxy(view, CLIENT, BLACK_HOLE_CLUSTER, logged=False)


def _virtual_outbound(view: View) -> Any:
    """Where redirected connections arrive, to be handed to the listener of their original destination."""
    loop = listener_components_pb2.FilterChain(
        name="virtualOutbound-blackhole", filters=[tcp_proxy(view, CLIENT, BLACK_HOLE_CLUSTER, logged=False)]
    )
    loop.filter_chain_match.destination_port.value = VIRTUAL_OUTBOUND_PORT
    rest = listener_components_pb2.FilterChain(
        name="virtualOutbound-catchall-tcp", filters=[_unknown_traffic(view)]
    )
    return listener_pb2.Listener(
        name="virtualOutbound",
        address=socket_address(ANY_ADDRESS, VIRTUAL_OUTBOUND_PORT),
        filter_chains=[loop, rest],
        use_original_dst=BoolValue(value=True),
        traffic_direction=2,  # OUTBOUND
        max_connections_to_accept_per_socket_event=uint32(1),
    )


def http_inspector() -> Any:
    """The listener filter that finds out whether a connection speaks HTTP."""
    return listener_components_pb2.ListenerFilter(
        name=HTTP_INSPECTOR, typed_config=any_of(http_inspector_pb2.HttpInspector())
    )


def tls_inspector() -> Any:
    """The listener filter that reads the server name of a TLS connection."""
    config = tls_inspector_pb2.TlsInspector()
    if "initial_read_buffer_size" in config.DESCRIPTOR.fields_by_name:
        config.initial_read_buffer_size.value = TLS_INSPECTOR_BYTES
    return listener_components_pb2.ListenerFilter(name=TLS_INSPECTOR, typed_config=any_of(config))
