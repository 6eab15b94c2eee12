"""Finds destinations that lead nowhere: subsets that no DestinationRule names. Pure.

Such a route is valid, and proxies take it; its requests are answered 503 until the rule is there, so it is worth
a word where it is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Resource = dict[str, Any]


def missing_subsets(virtual_services: Iterable[Resource], rules: Sequence[Resource]) -> list[str]:
    """One warning for each service and virtual service whose subsets no rule of its host has."""
    warnings = []
    for resource in virtual_services:
        namespace = resource["metadata"].get("namespace") or "default"
        missing: dict[str, list[str]] = {}
        for host, subset in _subsets(resource.get("spec") or {}):
            if not any(_has(rule, full_name(host, namespace), subset) for rule in rules):
                found = missing.setdefault(host, [])
                found += [] if subset in found else [subset]
        for host, subsets in missing.items():
            names = ", ".join(subsets)
            which = f"the subset {names}" if len(subsets) == 1 else f"the subsets {names}"
            warnings.append(
                f"VirtualService {namespace}/{resource['metadata']['name']}: no DestinationRule has {which} of {host}: "
                f"its requests there are answered 503 until one is applied"
            )
    return warnings


def full_name(host: str, namespace: str) -> str:
    """A short name is a service of the resource's own namespace."""
    return host if "." in host or host.startswith("*") else f"{host}.{namespace}.svc.cluster.local"


def _has(rule: Resource, host: str, subset: str) -> bool:
    spec = rule.get("spec") or {}
    named = full_name(str(spec.get("host", "")), rule["metadata"].get("namespace") or "default")
    fits = host.endswith(named[1:]) if named.startswith("*") else host == named
    return fits and any(each.get("name") == subset for each in spec.get("subsets") or ())


def _subsets(spec: Resource) -> Iterator[tuple[str, str]]:
    """(host, subset) of every destination in the order written."""
    for protocol in ("http", "tls", "tcp"):
        for rule in spec.get(protocol) or ():
            targets = [*(rule.get("route") or ()), *(rule.get("mirrors") or ()), {"destination": rule.get("mirror")}]
            for target in targets:
                destination = target.get("destination") or {}
                if destination.get("subset"):
                    yield str(destination.get("host", "")), str(destination["subset"])
