"""The rules of Sidecar."""

import re

from lugsail.api.sidecar import IstioEgressListener, IstioIngressListener, Sidecar, SidecarPort, SidecarSpec
from lugsail.api.validation.http_route import check_destination
from lugsail.api.validation.names import (
    UNIX_PREFIX,
    check_fqdn,
    check_ip,
    check_listed_host,
    check_selector,
    check_unix_path,
)
from lugsail.api.validation.place import Place
from lugsail.api.validation.server_tls import check_server_tls
from lugsail.api.validation.traffic_policy import check_connection_pool
from lugsail.api.validation.values import check_port, check_port_name, check_protocol, is_http

_ENDPOINT = re.compile(r"(?:(?P<v4>[^:\[\]]*)|\[(?P<v6>[^\]]*)\]):(?P<port>[0-9]{1,6})\Z")
_ENDPOINT_HOSTS = frozenset(("", "127.0.0.1", "0.0.0.0", "::1", "::"))  # noqa: S104 - a name for the pod's own address
_SHARED_PORT_HINT = "give each listener its own port; two addresses do not help"


def check_sidecar(place: Place, resource: Sidecar) -> None:
    """The whole spec."""
    spec = resource.spec
    if spec.workload_selector is not None:
        labels = spec.workload_selector.labels
        check_selector(place / "workloadSelector" / "labels", labels, "it applies to all workloads of the namespace")
    has_policy = spec.outbound_traffic_policy is not None or spec.inbound_connection_pool is not None
    if not (spec.ingress or spec.egress or has_policy):
        place.fail("sets nothing", "give ingress, egress, outboundTrafficPolicy or inboundConnectionPool")
    _check_ingress(place / "ingress", spec.ingress)
    check_connection_pool(place / "inboundConnectionPool", spec.inbound_connection_pool)
    _check_egress(place / "egress", spec.egress, resource.namespace)
    _check_policy(place / "outboundTrafficPolicy", spec)


def _check_ingress(place: Place, listeners: tuple[IstioIngressListener, ...]) -> None:
    ports: set[int] = set()
    for index, listener in enumerate(listeners):
        here = place / index
        port = listener.port
        if port is None:
            (here / "port").fail("is required", "write port: {number: 9080, protocol: HTTP, name: http}")
        else:
            _check_sidecar_port(here / "port", port)
            check_port(here / "port" / "number", port.number)
            if port.number in ports:
                (here / "port" / "number").fail(f"{port.number} is there twice", _SHARED_PORT_HINT)
            ports.add(port.number)
        if listener.bind:
            check_ip(here / "bind", listener.bind)
        _check_default_endpoint(here / "defaultEndpoint", listener.default_endpoint)
        _check_ingress_tls(here / "tls", listener)
        pool = listener.connection_pool
        check_connection_pool(here / "connectionPool", pool)
        if pool is not None and pool.http is not None and port is not None and not is_http(port.protocol):
            (here / "connectionPool" / "http").warn(f"has no effect on {port.protocol.upper()}", "use `tcp`")


def _check_sidecar_port(place: Place, port: SidecarPort) -> None:
    if port.name:
        check_port_name(place / "name", port.name)
    check_protocol(place / "protocol", port.protocol)
    if port.target_port:
        (place / "targetPort").fail("has no effect on sidecars", "use defaultEndpoint")


def _check_default_endpoint(place: Place, endpoint: str) -> None:
    if not endpoint:
        return
    if endpoint.startswith(UNIX_PREFIX):
        check_unix_path(place, endpoint)
        return
    match = _ENDPOINT.match(endpoint)
    forms = "127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///path"
    if match is None or (match["v4"] or match["v6"] or "") not in _ENDPOINT_HOSTS:
        place.fail(f"{endpoint!r} is not the workload's own address", f"write {forms}")
    else:
        check_port(place, int(match["port"]))


def _check_ingress_tls(place: Place, listener: IstioIngressListener) -> None:
    tls = listener.tls
    if tls is None:
        return
    for name, given in (
        ("subjectAltNames", bool(tls.subject_alt_names)),
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", bool(tls.credential_name)),
    ):
        if given:
            (place / name).fail("is not supported on sidecars", "remove it")
    if tls.mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        (place / "mode").fail(f"{tls.mode} is not supported on sidecars", "write SIMPLE or MUTUAL")
    check_server_tls(place, tls)


def _check_egress(place: Place, listeners: tuple[IstioEgressListener, ...], namespace: str) -> None:
    ports: set[int] = set()
    sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        here = place / index
        if listener.port is None:
            if index != len(listeners) - 1:
                (here / "port").fail("only the last egress listener may leave its port out", "move it to the end")
        else:
            _check_egress_bind(here, listener, listener.port)
            number = listener.port.number
            if number and number in ports:
                (here / "port" / "number").fail(f"{number} is there twice", _SHARED_PORT_HINT)
            if not number and listener.bind in sockets:
                (here / "bind").fail(f"{listener.bind!r} is there twice", "give each listener its own socket")
            ports.add(number)
            sockets.add(listener.bind)
        _check_egress_hosts(here / "hosts", listener.hosts, namespace)


def _check_egress_bind(place: Place, listener: IstioEgressListener, port: SidecarPort) -> None:
    _check_sidecar_port(place / "port", port)
    if port.number:
        check_port(place / "port" / "number", port.number)
        if listener.bind:
            check_ip(place / "bind", listener.bind)
        return
    if not listener.bind.startswith(UNIX_PREFIX):
        (place / "port" / "number").fail("is required", "write a port, or bind to a Unix socket")
        return
    check_unix_path(place / "bind", listener.bind)
    if listener.capture_mode == "IPTABLES":
        (place / "captureMode").fail("traffic to a Unix socket is not captured", "write NONE")


def _check_egress_hosts(place: Place, hosts: tuple[str, ...], namespace: str) -> None:
    if not hosts:
        place.fail("is required", 'name at least one, such as "./*" or "*/*"')
    seen: dict[str, set[str]] = {}
    for index, host in enumerate(hosts):
        here = place / index
        check_listed_host(here, host, at_gateway=False)
        wanted, slash, name = host.partition("/")
        if not slash:
            continue
        names = seen.setdefault(namespace if wanted == "." else wanted, set())
        if name in names or "*" in names or (name == "*" and names):
            here.warn(f"{host!r} is covered by another entry", "keep one of them")
        names.add(name)
    if "*" in seen.get("*", ()) and len(seen) > 1:
        place.warn('"*/*" already means every host', "remove the others")


def _check_policy(place: Place, spec: SidecarSpec) -> None:
    policy = spec.outbound_traffic_policy
    if policy is None or policy.egress_proxy is None:
        return
    here = place / "egressProxy"
    if policy.mode != "ALLOW_ANY":
        here.fail("has a place only in mode ALLOW_ANY", "set mode: ALLOW_ANY")
    check_fqdn(here / "host", policy.egress_proxy.host)
    if policy.egress_proxy.port is None:
        (here / "port").fail("is required")
    check_destination(here, policy.egress_proxy)
