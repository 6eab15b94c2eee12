"""The rules of ServiceEntry."""

from lugsail.api.service_entry import ServiceEntry, ServiceEntrySpec
from lugsail.api.validation.names import (
    check_selector,
    check_subnet,
    check_wildcard_host,
    fqdn_problem,
    is_wildcard,
)
from lugsail.api.validation.place import Place
from lugsail.api.validation.values import (
    check_export_to,
    check_port,
    check_port_name,
    check_protocol,
    is_http,
    is_tcp,
    is_tls,
)
from lugsail.api.validation.workload_entry import check_endpoint

_BY_DNS = ("DNS", "DNS_ROUND_ROBIN")


def check_service_entry(place: Place, resource: ServiceEntry) -> None:
    """The whole spec."""
    spec = resource.spec
    _check_hosts(place / "hosts", spec)
    for index, address in enumerate(spec.addresses):
        check_subnet(place / "addresses" / index, address)
        if "/" in address and spec.resolution not in ("NONE", "STATIC"):
            (place / "addresses" / index).fail(
                f"a CIDR block has no place with resolution {spec.resolution}", "use resolution NONE or STATIC"
            )
    _check_ports(place / "ports", spec)
    if spec.workload_selector is not None:
        if spec.endpoints:
            (place / "workloadSelector").fail("has no place beside endpoints", "keep one of the two")
        labels = spec.workload_selector.labels
        check_selector(place / "workloadSelector" / "labels", labels, "all workloads of the namespace are endpoints")
        if spec.resolution == "NONE":
            (place / "workloadSelector").warn("has no place with resolution NONE", "use STATIC")
    _check_endpoints(place / "endpoints", spec)
    _check_shared_tcp_port(place, spec)
    check_export_to(place / "exportTo", spec.export_to, resource.namespace, nobody_allowed=True)


def _check_hosts(place: Place, spec: ServiceEntrySpec) -> None:
    if not spec.hosts:
        place.fail("is required", "name at least one host")
    for index, host in enumerate(spec.hosts):
        here = place / index
        if host == "*":
            here.fail('"*" would stand for every host', "name hosts, or a domain such as *.example.com")
            continue
        if not check_wildcard_host(here, host):
            continue
        if is_wildcard(host) and not host.startswith("*."):
            here.warn(f"{host!r} has a wildcard for a part of a label", "write *.example.com")
        if spec.resolution in _BY_DNS and not spec.endpoints and fqdn_problem(host):
            here.fail(f"{host!r} cannot be looked up for resolution {spec.resolution}", "give endpoints, or NONE")


def _check_ports(place: Place, spec: ServiceEntrySpec) -> None:
    names: set[str] = set()
    numbers: set[int] = set()
    for index, port in enumerate(spec.ports):
        here = place / index
        check_port_name(here / "name", port.name)
        check_protocol(here / "protocol", port.protocol)
        check_port(here / "number", port.number)
        if port.name and port.name in names:
            (here / "name").fail(f"{port.name!r} is there twice", "give each port its own name")
        if port.number in numbers:
            (here / "number").fail(f"{port.number} is there twice", "give each port its own number")
        names.add(port.name)
        numbers.add(port.number)
        if port.target_port:
            check_port(here / "targetPort", port.target_port)


def _check_endpoints(place: Place, spec: ServiceEntrySpec) -> None:
    if spec.endpoints and spec.resolution in ("NONE", "DYNAMIC_DNS"):
        place.fail(f"has no place with resolution {spec.resolution}", "use STATIC for addresses, DNS for names")
        return
    if spec.resolution == "DNS_ROUND_ROBIN" and len(spec.endpoints) > 1:
        place.fail(f"{len(spec.endpoints)} are too many for resolution DNS_ROUND_ROBIN", "give one, or use DNS")
    ports = frozenset(port.name for port in spec.ports)
    for index, endpoint in enumerate(spec.endpoints):
        by_name = spec.resolution in _BY_DNS
        check_endpoint(place / index, endpoint, service_ports=ports, names_allowed=by_name)


def _check_shared_tcp_port(place: Place, spec: ServiceEntrySpec) -> None:
    """Plain TCP does not say which host is meant."""
    if len(spec.hosts) < 2 or spec.resolution == "NONE":
        return
    for index, port in enumerate(spec.ports):
        if is_http(port.protocol) or is_tls(port.protocol):
            continue
        here = place / "ports" / index / "protocol"
        shown = port.protocol.upper() or "an unknown protocol"
        what = "TCP" if is_tcp(port.protocol) else shown
        here.fail(f"{what} does not say which of {len(spec.hosts)} hosts is meant", "write one ServiceEntry a host")
