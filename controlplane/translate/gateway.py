"""Gateways made ready for one proxy: which servers it opens on which ports, and which routes they share."""

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.model.config import Config, labels_match
from controlplane.model.mesh_snapshot import Conflict
from controlplane.model.names import host_within, hosts_match, is_wildcard
from controlplane.model.virtual_service import VirtualServiceConfig
from controlplane.translate.view import View
from lugsail.api.gateway import GatewaySpec, Server

_HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
_TERMINATING = frozenset({"SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"})


@dataclass(frozen=True, eq=False, slots=True)
class GatewayServer:
    """One server of a Gateway on this proxy. `hosts` are `namespace/host` or `host`, never `./` or `*/`."""

    config: Config[GatewaySpec]
    server: Server
    index: int
    port: int  # of the Gateway
    target: int  # that the proxy opens
    bind: str
    protocol: str
    hosts: tuple[str, ...]

    @property
    def gateway(self) -> str:
        return f"{self.config.namespace}/{self.config.name}"

    @property
    def is_http(self) -> bool:
        return self.protocol in _HTTP

    @property
    def terminates(self) -> bool:
        """Whether the proxy ends TLS here."""
        return not self.is_http and self.server.tls is not None and self.server.tls.mode in _TERMINATING

    @property
    def passes_through(self) -> bool:
        return not self.is_http and self.server.tls is not None and not self.terminates

    @property
    def route_name(self) -> str:
        """Istio's name of the route configuration; "" for TCP."""
        suffix = f".{self.server.bind}" if self.server.bind else ""
        if self.is_http:
            return f"http.{self.target}{suffix}"
        if self.protocol == "HTTPS" and self.terminates:
            name = self.server.port.name if self.server.port is not None else ""
            return f"https.{self.port}.{name}.{self.config.name}.{self.config.namespace}{suffix}"
        return ""

    @property
    def listener_name(self) -> str:
        return f"{self.bind}_{self.target}"


def merged_servers(view: View) -> tuple[GatewayServer, ...]:
    """The servers of every Gateway that selects the proxy, oldest first; what contradicts an older one is left out."""
    key = ("gateway", view.snapshot.gateways, view.proxy, view.snapshot.instances_of(view.proxy))
    servers, conflicts = view.memo.get(key, lambda: _merge(view))
    view.conflicts.extend(conflicts)
    return servers


def _merge(view: View) -> tuple[tuple[GatewayServer, ...], tuple[Conflict, ...]]:
    out: list[GatewayServer] = []
    conflicts: list[Conflict] = []
    for config in view.snapshot.gateways:
        if not labels_match(config.spec.selector, view.proxy.label_map):
            continue
        for index, server in enumerate(config.spec.servers):
            for one in _resolve(view, config, index, server):
                problem = _contradiction(one, out)
                if problem is None:
                    out.append(one)
                else:
                    conflicts.append(Conflict(config.key, f"servers[{index}]: {problem}"))
    return tuple(out), tuple(conflicts)


def _resolve(view: View, config: Config[GatewaySpec], index: int, server: Server) -> Iterable[GatewayServer]:
    if server.port is None:
        return
    for target in _target_ports(view, server.port.number):
        yield GatewayServer(
            config=config,
            server=server,
            index=index,
            port=server.port.number,
            target=target,
            bind=server.bind or view.proxy.bind_address,
            protocol=server.port.protocol.upper(),
            hosts=tuple(_sanitise(host, config.namespace) for host in server.hosts),
        )


def _target_ports(view: View, number: int) -> list[int]:
    """The ports that the gateway's own service maps the number to; the number itself when it has no such port."""
    targets: dict[int, None] = {}
    for instance in view.snapshot.instances_of(view.proxy):
        port = instance.service.port(number)
        if port is not None:
            targets[instance.endpoint.port_for(port)] = None
    return list(targets) or [number]


def _sanitise(host: str, namespace: str) -> str:
    """`./host` names the Gateway's own namespace, `*/host` none in particular."""
    where, slash, name = host.partition("/")
    if not slash:
        return host.lower()
    if where == "*":
        return name.lower()
    return f"{namespace if where == '.' else where}/{name.lower()}"


def _contradiction(new: GatewayServer, known: list[GatewayServer]) -> str | None:
    for old in known:
        if (old.bind, old.target) != (new.bind, new.target):
            continue
        if old.is_http and new.is_http:
            continue
        who = f"port {new.port} is already opened by {old.config.key} servers[{old.index}]"
        if old.is_http or new.is_http:
            return f"{who} with protocol {old.protocol}"
        if old.server.tls is None or new.server.tls is None:
            return f"{who} for plain TCP"
        shared = sorted(set(_bare(old.hosts)) & set(_bare(new.hosts)))
        if shared:
            return f"{who} for host {shared[0]}"
    return None


def _bare(hosts: Iterable[str]) -> list[str]:
    return [host.rpartition("/")[2] for host in hosts]


def virtual_services_for(view: View, gateway: str) -> tuple[VirtualServiceConfig, ...]:
    """VirtualServices bound to a gateway (`namespace/name`), oldest first."""
    return tuple(v for v in view.snapshot.virtual_services if gateway in v.gateways)


def hosts_in_common(server: GatewayServer, virtual_service: VirtualServiceConfig) -> list[str]:
    """The hosts that both allow: of two that overlap, the narrower one."""
    allowed: list[str] = []
    for host in server.hosts:
        where, slash, name = host.rpartition("/")
        if not slash or where == virtual_service.namespace:
            allowed.append(name)
    out: dict[str, None] = {}
    for mine in allowed:
        for theirs in virtual_service.hosts:
            if hosts_match(mine, theirs):
                out[theirs if host_within(theirs, mine) else mine] = None
    return list(out)


def specificity(host: str) -> tuple[bool, int, str]:
    """Sort key: exact hosts first, then longer wildcards before shorter ones."""
    return (is_wildcard(host), -len(host), host)
