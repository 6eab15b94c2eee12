"""Services of the mesh: what ServiceEntry resources say, one service a host."""

from dataclasses import dataclass, field, replace

from controlplane.model.config import Config
from controlplane.model.names import is_wildcard
from controlplane.model.proxy import Proxy
from lugsail.api.service_entry import ServiceEntrySpec

_HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"})
_HTTP2 = frozenset({"HTTP2", "GRPC", "GRPC-WEB"})
_TLS = frozenset({"TLS", "HTTPS"})


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service. `target` is the endpoint's port number unless the endpoint names another."""

    number: int
    name: str
    protocol: str  # upper case, as in Istio: HTTP, HTTP2, GRPC, TCP, TLS, HTTPS, MONGO …
    target: int

    @property
    def is_http(self) -> bool:
        return self.protocol in _HTTP

    @property
    def is_http2(self) -> bool:
        return self.protocol in _HTTP2

    @property
    def is_tls(self) -> bool:
        return self.protocol in _TLS


@dataclass(frozen=True, slots=True)
class Service:
    """One host of the registry. Compared by value; endpoints are kept apart, since they change far more often."""

    host: str
    namespace: str
    addresses: tuple[str, ...]
    ports: tuple[Port, ...]
    resolution: str  # ServiceEntry.resolution
    external: bool
    export_to: tuple[str, ...]
    subject_alt_names: tuple[str, ...]
    config: Config[ServiceEntrySpec]
    automatic_address: str = ""  # for proxies that capture DNS; "" when it has addresses or can have none
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.host, self.namespace, self.ports, id(self.config))))

    def __hash__(self) -> int:
        return self._hash

    @property
    def key(self) -> tuple[str, str]:
        """(host, namespace)."""
        return (self.host, self.namespace)

    def port(self, number: int) -> Port | None:
        """The port of that number."""
        return next((port for port in self.ports if port.number == number), None)

    def with_ports(self, ports: tuple[Port, ...]) -> "Service":
        """The same service, showing only these ports (what a Sidecar's egress listener imports)."""
        if ports == self.ports:
            return self
        return replace(self, ports=ports)

    def with_automatic_address(self, address: str) -> "Service":
        """The same service with this address for proxies that capture DNS."""
        return self if address == self.automatic_address else replace(self, automatic_address=address)

    @property
    def wants_automatic_address(self) -> bool:
        """No addresses of its own; and a client that was given one could be served by it.

        A wildcard stands for many hosts, and with resolution NONE the caller's own destination is what counts.
        """
        return not self.addresses and not is_wildcard(self.host) and not self.is_original_dst

    def addresses_for(self, proxy: Proxy) -> tuple[str, ...]:
        """The addresses and networks by which clients of this proxy reach the service."""
        if self.addresses or not self.automatic_address or not proxy.captures_dns:
            return self.addresses
        return (self.automatic_address,)

    @property
    def is_dns(self) -> bool:
        return self.resolution in ("DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS")

    @property
    def is_original_dst(self) -> bool:
        """Forwarded to wherever the caller meant to go."""
        return self.resolution == "NONE"


def services_of(config: Config[ServiceEntrySpec]) -> tuple[Service, ...]:
    """The services that a ServiceEntry declares, one for each host."""
    spec = config.spec
    ports = tuple(
        Port(p.number, p.name, (p.protocol or "TCP").upper(), p.target_port or p.number)
        for p in spec.ports
        if (p.protocol or "TCP").upper() != "UDP"
    )
    return tuple(
        Service(
            host=host.lower(),
            namespace=config.namespace,
            addresses=spec.addresses,
            ports=ports,
            resolution=spec.resolution,
            external=spec.location == "MESH_EXTERNAL",
            export_to=spec.export_to,
            subject_alt_names=spec.subject_alt_names,
            config=config,
        )
        for host in spec.hosts
    )
