"""The rules of WorkloadEntry, and of the endpoints inside a ServiceEntry."""

from lugsail.api.validation.names import UNIX_PREFIX, check_labels, check_unix_path, fqdn_problem, is_ip
from lugsail.api.validation.place import Place
from lugsail.api.validation.values import check_port, check_port_name
from lugsail.api.workload_entry import WorkloadEntry, WorkloadEntrySpec


def check_workload_entry(place: Place, resource: WorkloadEntry) -> None:
    """The whole spec."""
    check_endpoint(place, resource.spec, service_ports=None, names_allowed=True)


def check_endpoint(
    place: Place, endpoint: WorkloadEntrySpec, *, service_ports: frozenset[str] | None, names_allowed: bool
) -> None:
    """`service_ports`: the port names of the service, where it is known; `names_allowed`: DNS names as addresses."""
    address = endpoint.address
    is_unix = address.startswith(UNIX_PREFIX)
    if not address:
        if not endpoint.network:
            (place / "address").fail("is required", "write an IP address or a host name")
        else:
            (place / "address").warn(f"is empty: reached through the gateways of network {endpoint.network}")
    elif is_unix:
        check_unix_path(place / "address", address)
        if endpoint.ports:
            (place / "ports").fail("a Unix socket has no ports", "remove them")
        if service_ports is not None and len(service_ports) != 1:
            (place / "address").fail("a Unix socket serves exactly one port", "give the service one port")
    elif not is_ip(address):
        if not names_allowed:
            (place / "address").fail(f"{address!r} is not an IP address", "use resolution DNS for host names")
        elif fqdn_problem(address):
            (place / "address").fail(f"{address!r} is neither an IP address nor a host name")
    for name, number in endpoint.ports.items():
        here = place / "ports" / name
        if service_ports is not None and name not in service_ports:
            here.fail(f"{name!r} is not a port of the service", f"write one of {', '.join(sorted(service_ports))}")
        check_port_name(here, name)
        check_port(here, number)
    check_labels(place / "labels", endpoint.labels)
    if endpoint.locality and "" in endpoint.locality.split("/"):
        (place / "locality").fail(f"{endpoint.locality!r} has an empty part", 'write "region/zone/subzone"')
