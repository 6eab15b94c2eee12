"""The rules of VirtualService."""

from lugsail.api.validation.headers import is_jwt_claim
from lugsail.api.validation.http_route import check_destinations, check_http_route, check_where_from
from lugsail.api.validation.names import (
    check_gateway_names,
    check_subnet,
    host_within,
    hosts_overlap,
    is_ip,
    wildcard_problem,
)
from lugsail.api.validation.place import Place
from lugsail.api.validation.unreachable import warn_unreachable
from lugsail.api.validation.values import check_export_to
from lugsail.api.virtual_service import TCPRoute, TLSRoute, VirtualService, VirtualServiceSpec

MESH = "mesh"
# SNI that an AUTO_PASSTHROUGH gateway sees: `outbound_.80_._.reviews.default.svc.cluster.local`.
_GENERATED_SNI_PREFIX = "outbound_"


def check_virtual_service(place: Place, resource: VirtualService) -> None:
    """The whole spec."""
    spec = resource.spec
    is_delegate = not spec.hosts
    if is_delegate:
        for name, given in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
            if given:
                (place / name).fail("has no place without `hosts`", "name hosts, or write only `http` for a delegate")
    check_gateway_names(place / "gateways", spec.gateways)
    check_export_to(place / "exportTo", spec.export_to, resource.namespace)
    _check_hosts(place / "hosts", spec)
    if not (spec.http or spec.tls or spec.tcp):
        place.fail("needs `http`, `tls` or `tcp`")
    for index, route in enumerate(spec.http):
        check_http_route(place / "http" / index, route, is_delegate=is_delegate)
    for index, tls in enumerate(spec.tls):
        _check_tls_route(place / "tls" / index, tls, spec)
    for index, tcp in enumerate(spec.tcp):
        _check_tcp_route(place / "tcp" / index, tcp)
    if _is_for_mesh(spec):
        _check_no_claims(place, spec)
    warn_unreachable(place, spec)


def _is_for_mesh(spec: VirtualServiceSpec) -> bool:
    return not spec.gateways or MESH in spec.gateways


def _check_hosts(place: Place, spec: VirtualServiceSpec) -> None:
    has_sni = any(match.sni_hosts for route in spec.tls for match in route.match)
    good: list[str] = []
    for index, host in enumerate(spec.hosts):
        here = place / index
        generated = has_sni and not _is_for_mesh(spec) and host.startswith(_GENERATED_SNI_PREFIX)
        problem = "" if generated or is_ip(host) else wildcard_problem(host)
        if problem:
            here.fail(problem, 'write a DNS name such as "reviews" or "*.example.com"')
            continue
        if host == "*" and _is_for_mesh(spec):
            here.fail('"*" is not allowed for the gateway `mesh`', "name hosts, or set `gateways` to others than mesh")
            continue
        twin = next((earlier for earlier in good if hosts_overlap(earlier, host)), None)
        if twin is not None:
            here.fail(f"{host!r} overlaps with {twin!r}", "keep one of the two")
        good.append(host)


def _check_tls_route(place: Place, route: TLSRoute, spec: VirtualServiceSpec) -> None:
    if not route.match:
        (place / "match").fail("is required", "match at least one of `sniHosts`")
    for index, match in enumerate(route.match):
        here = place / "match" / index
        if not match.sni_hosts:
            (here / "sniHosts").fail("is required", "name at least one host")
        for sni_index, sni in enumerate(match.sni_hosts):
            _check_sni(here / "sniHosts" / sni_index, sni, spec)
        for subnet_index, subnet in enumerate(match.destination_subnets):
            check_subnet(here / "destinationSubnets" / subnet_index, subnet)
        check_where_from(here, match)
    _check_l4_route(place, route)


def _check_sni(place: Place, sni: str, spec: VirtualServiceSpec) -> None:
    if is_ip(sni):
        place.warn(f"SNI cannot be an address ({sni}); most clients send none", "use `tcp` with `destinationSubnets`")
        return
    generated = not _is_for_mesh(spec) and sni.startswith(_GENERATED_SNI_PREFIX)
    problem = "" if generated else wildcard_problem(sni)
    if problem:
        place.fail(problem)
    elif not any(host_within(sni, host) for host in spec.hosts):
        place.fail(f"{sni!r} is not within any of the hosts {', '.join(spec.hosts)}", "add it to `hosts`")


def _check_tcp_route(place: Place, route: TCPRoute) -> None:
    for index, match in enumerate(route.match):
        here = place / "match" / index
        for subnet_index, subnet in enumerate(match.destination_subnets):
            check_subnet(here / "destinationSubnets" / subnet_index, subnet)
        if match.source_subnet:
            check_subnet(here / "sourceSubnet", match.source_subnet)
        check_where_from(here, match)
    _check_l4_route(place, route)


def _check_l4_route(place: Place, route: TLSRoute | TCPRoute) -> None:
    if not route.route:
        (place / "route").fail("is required", "name a destination")
    check_destinations(place / "route", route.route)


def _check_no_claims(place: Place, spec: VirtualServiceSpec) -> None:
    for index, route in enumerate(spec.http):
        for match_index, match in enumerate(route.match):
            for field, names in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
                for name in filter(is_jwt_claim, names):
                    here = place / "http" / index / "match" / match_index / field / name
                    here.fail("claims of a token can be matched at gateways only", "set `gateways`, without mesh")


