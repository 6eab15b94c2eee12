"""istio.networking.nds.v1.NameTable → the names to answer, with the short forms that this pod may use."""

from __future__ import annotations

import ipaddress
from typing import Any

from sidecar.config.names import HostAddresses, NameTable
from sidecar.config.rejected import At

#: `registry` of entries that have short forms (Istio: pkg/dns/client, generateAltHosts).
_KUBERNETES = "Kubernetes"


def compile_names(message: Any, domain: str) -> NameTable:
    """The table for a pod in `domain` (`default.svc.cluster.local`, as its node id says). Raises Rejected."""
    namespace, _, suffix = domain.partition(".")
    at = At("name-table")
    short: dict[str, HostAddresses] = {}
    hosts: dict[str, HostAddresses] = {}
    for host, info in message.table.items():
        name = host.lower().rstrip(".")
        found = _addresses(at.field("table", host), info.ips)
        hosts[name] = found
        if info.registry == _KUBERNETES and name == f"{info.shortname}.{info.namespace}.{suffix}":
            for form in _short_forms(info.shortname, info.namespace, namespace, suffix):
                short[form] = found
    # A host that somebody declared is itself, whatever it may also be short for.
    return NameTable({**short, **hosts})


def _short_forms(name: str, its_namespace: str, own_namespace: str, suffix: str) -> list[str]:
    """`reviews.default`, `reviews.default.svc`, and in the service's own namespace `reviews`."""
    forms = [f"{name}.{its_namespace}", f"{name}.{its_namespace}.{suffix.partition('.')[0]}"]
    return [*forms, name] if its_namespace == own_namespace else forms


def _addresses(at: At, texts: Any) -> HostAddresses:
    v4: list[bytes] = []
    v6: list[bytes] = []
    for position, text in enumerate(texts):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            at.field("ips", position).reject(f"{text!r} is not an IP address")
        (v4 if address.version == 4 else v6).append(address.packed)
    return HostAddresses(tuple(v4), tuple(v6))
