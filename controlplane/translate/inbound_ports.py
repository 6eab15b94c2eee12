"""Which ports a workload's sidecar takes traffic on, and where its application listens."""

from dataclasses import dataclass
from typing import Any

from controlplane.model.names import is_ip
from controlplane.model.service import Service
from controlplane.translate.protos import socket_address
from controlplane.translate.view import View
from lugsail.api.destination_rule import ConnectionPoolSettings
from lugsail.api.sidecar import IstioIngressListener

_HTTP2 = frozenset({"HTTP2", "GRPC", "GRPC-WEB"})
_HTTP = _HTTP2 | {"HTTP"}


@dataclass(frozen=True, eq=False, slots=True)
class _Pool:
    """A connection pool by identity, so that it can be part of a key."""

    settings: ConnectionPoolSettings | None


@dataclass(frozen=True, slots=True)
class InboundPort:
    """One inbound port. `app_address` is empty when the original destination is the application itself."""

    number: int  # the service's port
    target: int  # the port that clients connect to on the workload
    name: str
    protocol: str
    service: Service | None
    bind: str  # "" when traffic is redirected to virtualInbound
    app_address: str  # ip:port or unix:///path
    operation_host: str
    pool: _Pool = _Pool(None)

    @property
    def is_http(self) -> bool:
        return self.protocol in _HTTP

    @property
    def is_http2(self) -> bool:
        return self.protocol in _HTTP2

    @property
    def connection_pool(self) -> ConnectionPoolSettings | None:
        return self.pool.settings


def inbound_ports(view: View) -> tuple[InboundPort, ...]:
    """From the Sidecar's `ingress` when there is one, else from the services that the workload belongs to."""
    proxy = view.proxy
    sidecar = view.scope.sidecar
    services = view.snapshot.services_of(proxy)
    if sidecar is not None and sidecar.spec.ingress:
        key = ("ingress", sidecar, services, proxy)
        return view.memo.get(
            key,
            lambda: tuple(
                _from_ingress(listener, services, f"{sidecar.name}.{sidecar.namespace}", proxy.captures)
                for listener in sidecar.spec.ingress
                if listener.port is not None
            ),
        )
    if not proxy.captures:
        return ()
    out: dict[int, InboundPort] = {}
    for instance in view.snapshot.instances_of(proxy):
        service = instance.service
        for port in service.ports:
            target = instance.endpoint.port_for(port)
            out.setdefault(
                target,
                InboundPort(port.number, target, port.name, port.protocol, service, "", "", service.host),
            )
    return tuple(out[target] for target in sorted(out))


def _from_ingress(
    listener: IstioIngressListener, services: tuple[Service, ...], operation_host: str, captures: bool
) -> InboundPort:
    assert listener.port is not None
    number = listener.port.number
    service = next((s for s in services if s.port(number) is not None), services[0] if services else None)
    redirected = captures and listener.capture_mode != "NONE"
    return InboundPort(
        number=number,
        target=number,
        name=listener.port.name,
        protocol=listener.port.protocol.upper(),
        service=service,
        bind="" if redirected else (listener.bind or "0.0.0.0"),  # noqa: S104 - what the Sidecar leaves open
        app_address=_app_address(listener.default_endpoint, number, redirected),
        operation_host=operation_host,
        pool=_Pool(listener.connection_pool),
    )


def _app_address(default_endpoint: str, number: int, redirected: bool) -> str:
    """`defaultEndpoint`: empty means the same port, which without redirection is on the loopback address."""
    if not default_endpoint:
        return "" if redirected else f"127.0.0.1:{number}"
    host, _, port = default_endpoint.rpartition(":")
    if host == "0.0.0.0":  # noqa: S104 - Istio's spelling of "the address that was connected to"
        return "" if redirected else f"127.0.0.1:{port}"
    return default_endpoint


def app_socket(port: InboundPort) -> Any:
    """The application's address as Envoy takes it."""
    if port.app_address.startswith("unix://"):
        return socket_address(port.app_address, 0)
    host, _, number = port.app_address.rpartition(":")
    host = host.strip("[]")
    return socket_address(host if is_ip(host) else "127.0.0.1", int(number))
