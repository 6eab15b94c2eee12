"""Names, addresses and hosts: what is well formed (pkg/config/validation/agent of Istio)."""

import re
from ipaddress import ip_address, ip_network

from lugsail.api.validation.place import Place

LABEL_LIMIT = 63
NAME_LIMIT = 253
DOMAIN_LIMIT = 255
UNIX_PREFIX = "unix://"

_LABEL = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_DNS_LABEL = re.compile(rf"{_LABEL}\Z")
_WILDCARD_LABEL = re.compile(rf"(?:\*|(?:\*|\*-)?{_LABEL})\Z")
_RESOURCE_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
_TAG_PREFIX = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_TAG_NAME = re.compile(r"[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?\Z")


def is_dns_label(text: str) -> bool:
    """RFC 1123 label, in any letter case as Istio takes it."""
    return len(text) <= LABEL_LIMIT and _DNS_LABEL.match(text) is not None


def is_resource_name(text: str) -> bool:
    """RFC 1123 subdomain in lower case: what Kubernetes takes as metadata.name."""
    return len(text) <= NAME_LIMIT and _RESOURCE_NAME.match(text) is not None


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address, without brackets, prefix or zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_subnet(text: str) -> bool:
    """An address, or address/bits; bits of the host may be set."""
    if "/" not in text:
        return is_ip(text)
    address, _, bits = text.partition("/")
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return is_ip(address) and bits.isdecimal()


def fqdn_problem(domain: str) -> str:
    """Why it is not a domain name (short names are); empty if it is."""
    return _length_problem(domain) or _labels_problem(domain, domain)


def wildcard_problem(domain: str) -> str:
    """Why it is neither a domain name nor one with a wildcard in its first label; empty if it is."""
    problem = _length_problem(domain)
    if problem:
        return problem
    first, dot, rest = domain.partition(".")
    if len(first.removeprefix("*").removeprefix("-")) > LABEL_LIMIT or not _WILDCARD_LABEL.match(first):
        return f"{domain!r} is not a host name: {first!r} is not a DNS label"
    return _labels_problem(domain, rest) if dot else ""


def _length_problem(domain: str) -> str:
    if not domain:
        return "must not be empty"
    return f"is longer than {DOMAIN_LIMIT} characters" if len(domain) > DOMAIN_LIMIT else ""


def _labels_problem(domain: str, labels: str) -> str:
    parts = labels.split(".")
    if parts[-1].isdecimal():
        return f"{domain!r} is not a host name: its last part must not be a number"
    # `istio.io.` ends with a dot to say that it is complete.
    for part in parts[:-1] if parts[-1] == "" and len(parts) > 1 else parts:
        if not is_dns_label(part):
            return f"{domain!r} is not a host name: {part!r} is not a DNS label"
    return ""


def is_wildcard(host: str) -> bool:
    """Whether a host stands for many."""
    return host.startswith("*")


def hosts_overlap(one: str, other: str) -> bool:
    """Whether some name is meant by both."""
    if is_wildcard(one) and is_wildcard(other):
        short, long = sorted((one[1:], other[1:]), key=len)
        return long.endswith(short)
    if is_wildcard(one):
        return other.endswith(one[1:])
    return one.endswith(other[1:]) if is_wildcard(other) else one == other


def host_within(host: str, outer: str) -> bool:
    """Whether every name that `host` means is meant by `outer`."""
    if is_wildcard(outer):
        return host.removeprefix("*").endswith(outer[1:])
    return host == outer


def check_wildcard_host(place: Place, host: str) -> bool:
    """A host name, `*`, `*.example.com` or `*-x.example.com`."""
    problem = wildcard_problem(host)
    if problem:
        place.fail(problem, 'write a DNS name such as "reviews" or "*.example.com"')
    return not problem


def check_fqdn(place: Place, host: str) -> None:
    """A host name without a wildcard."""
    problem = fqdn_problem(host)
    if problem:
        place.fail(problem, 'write a DNS name such as "reviews.default.svc.cluster.local"')


def check_listed_host(place: Place, host: str, *, at_gateway: bool) -> None:
    """An entry of Gateway `servers[].hosts` or Sidecar `egress[].hosts`: `namespace/dnsName`."""
    namespace, slash, name = host.partition("/")
    if not slash:
        if not at_gateway:
            place.fail(f"{host!r} has no namespace", 'write namespace/dnsName, such as "./*" or "*/*.example.com"')
            return
        namespace, name = "*", host
    if not namespace or not name:
        place.fail(f"{host!r} has an empty part", "write namespace/dnsName")
        return
    special = ("*", ".") if at_gateway else ("*", ".", "~")
    if namespace not in special and not is_dns_label(namespace):
        place.fail(f"{namespace!r} is not a namespace", f"write a namespace or one of {', '.join(special)}")
    if at_gateway and is_ip(name):
        return
    problem = wildcard_problem(name)
    if problem:
        place.fail(problem)
    elif name != "*" and "." not in name:
        place.fail(f"short name {name!r} is not allowed here", "write it whole: name.namespace.svc.cluster.local")
    elif is_wildcard(name) and name != "*" and not name.startswith("*."):
        place.fail(f"{name!r} has a wildcard for a part of a label", 'only "*" and "*.example.com" forms are allowed')


def check_ip(place: Place, address: str) -> None:
    """An IP address."""
    if not is_ip(address):
        place.fail(f"{address!r} is not an IP address")


def check_subnet(place: Place, subnet: str) -> None:
    """An IP address or CIDR block."""
    if not is_subnet(subnet):
        place.fail(f"{subnet!r} is neither an IP address nor a CIDR block", 'write such as "10.0.0.0/8"')


def check_unix_path(place: Place, address: str) -> None:
    """`unix:///path` or `unix://@abstract`."""
    path = address.removeprefix(UNIX_PREFIX)
    if not path.startswith("@") and (not path.startswith("/") or path.endswith("/")):
        place.fail(f"{address!r} is not a Unix socket", 'write "unix:///absolute/path" or "unix://@abstract"')


def check_labels(place: Place, labels: dict[str, str]) -> None:
    """Kubernetes labels: `[prefix/]name: value`."""
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if (slash and not _TAG_PREFIX.match(prefix)) or len(name) > LABEL_LIMIT or not _TAG_NAME.match(name):
            place.fail(f"{key!r} is not a label name", 'write such as "app" or "example.com/app"')
        if value and (len(value) > LABEL_LIMIT or not _TAG_NAME.match(value)):
            (place / key).fail(f"{value!r} is not a label value", "at most 63 letters, digits, - _ and . inside")


def check_selector(place: Place, labels: dict[str, str], otherwise: str) -> None:
    """Labels of a workload selector; `otherwise` says what an empty one comes to."""
    if not labels:
        place.warn("selects by no label", otherwise)
    for key, value in labels.items():
        if not key:
            place.fail("a label without a name")
        elif "*" in key or "*" in value:
            (place / key).fail("wildcards are not supported in selectors", "write the whole value")


def check_gateway_names(place: Place, names: tuple[str, ...]) -> None:
    """`mesh`, `name`, or `namespace/name`."""
    for index, whole in enumerate(names):
        namespace, slash, name = whole.partition("/")
        here = place / index
        if not slash:
            check_fqdn(here, whole)
            if "." in whole:
                parts = whole.split(".")
                here.warn(f"{whole!r} is an old form", f'prefer "{parts[1]}/{parts[0]}"')
        elif not is_dns_label(namespace) or not is_dns_label(name):
            here.fail(f"{whole!r} does not name a gateway", 'write "mesh", "name" or "namespace/name"')
