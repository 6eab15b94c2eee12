"""The rules of Gateway."""

from lugsail.api.gateway import Gateway, Server
from lugsail.api.validation.names import (
    UNIX_PREFIX,
    check_ip,
    check_labels,
    check_listed_host,
    check_unix_path,
    is_dns_label,
)
from lugsail.api.validation.place import Place
from lugsail.api.validation.server_tls import check_server_tls
from lugsail.api.validation.values import check_port, check_protocol, is_http, is_tls


def check_gateway(place: Place, resource: Gateway) -> None:
    """The whole spec, and that the name is one DNS label."""
    spec = resource.spec
    if not is_dns_label(resource.name):
        Place("metadata.name", place.report).fail(f"{resource.name!r} is not a gateway name", "write no dots")
    check_labels(place / "selector", spec.selector)
    if not spec.servers:
        (place / "servers").fail("is required", "open at least one port")
    first_of: dict[str, int] = {}
    for index, server in enumerate(spec.servers):
        here = place / "servers" / index
        _check_server(here, server)
        name = server.port.name if server.port is not None else ""
        if name and first_of.setdefault(name, index) != index:
            twin = (place / "servers" / first_of[name]).path
            (here / "port" / "name").fail(f"{name!r} is already the name of {twin}", "give each port its own name")


def _check_server(place: Place, server: Server) -> None:
    if not server.hosts:
        (place / "hosts").fail("is required", 'name at least one host, or "*"')
    for index, host in enumerate(server.hosts):
        check_listed_host(place / "hosts" / index, host, at_gateway=True)
    is_unix = server.bind.startswith(UNIX_PREFIX)
    if is_unix:
        check_unix_path(place / "bind", server.bind)
    elif server.bind:
        check_ip(place / "bind", server.bind)
    check_server_tls(place / "tls", server.tls)
    port = server.port
    if port is None:
        (place / "port").fail("is required", "write port: {number: 80, name: http, protocol: HTTP}")
        return
    here = place / "port"
    check_protocol(here / "protocol", port.protocol, required=True)
    if is_unix and port.number:
        (here / "number").fail("a Unix socket has no port", "write 0, or bind to an address")
    elif not is_unix:
        check_port(here / "number", port.number)
    if port.target_port:
        (here / "targetPort").fail("has no effect on gateways", "remove it")
    if not port.name:
        (here / "name").fail("is required", "write such as http")
    _check_tls_fits(place, server, port.protocol)


def _check_tls_fits(place: Place, server: Server, protocol: str) -> None:
    tls = server.tls
    if tls is None:
        if is_tls(protocol):
            (place / "tls").fail(f"is required for {protocol.upper()}", "write tls: {mode: SIMPLE, credentialName: …}")
        return
    if tls.https_redirect and not is_http(protocol):
        (place / "tls" / "httpsRedirect").warn(f"has no effect on {protocol.upper()}", "set it on an HTTP port")
    if is_tls(protocol):
        return
    if not is_http(protocol):
        (place / "tls").fail(f"has no place on {protocol.upper()}", "use HTTPS or TLS, or remove it")
    elif tls.mode not in ("PASSTHROUGH", "AUTO_PASSTHROUGH") or tls.server_certificate or tls.private_key:
        (place / "tls").fail(f"{protocol.upper()} is clear text: only httpsRedirect has a place here", "use HTTPS")
