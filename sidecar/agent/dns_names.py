"""Finds names in the table: exact ones, names with the first search domain behind them, wildcards. Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sidecar.agent.dns_message import wire_name
from sidecar.config.names import HostAddresses, NameTable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """`alias_of`: the name in wire form that has the addresses, where it is not the asked one itself; else b""."""

    addresses: HostAddresses
    alias_of: bytes = b""


class NameIndex:
    """`search`: the first search domain of the pod's resolver, "" for none.

    A resolver appends it to names with few dots before it tries them alone (`www.example.com.ns.svc.cluster.local`).
    The answer is an alias to the name that was meant, as in Istio's agent, and the search ends there.
    """

    def __init__(self, table: NameTable, search: str = "") -> None:
        self._search = wire_name(search) if search.strip(".") else b""
        self._exact: dict[bytes, HostAddresses] = {}
        self._below: dict[bytes, HostAddresses] = {}  # parent domain → addresses of all names under it
        for host, addresses in table.hosts.items():
            wildcard = host.startswith("*.")
            try:
                name = wire_name(host[2:] if wildcard else host)
            except ValueError as error:
                log.warning("a name is not answered: %s", error)
                continue
            (self._below if wildcard else self._exact)[name] = addresses

    def find(self, name: bytes) -> Found | None:
        """The addresses of a name in wire form and lower case; None when it is not ours."""
        stem = self._without_search(name)
        if (found := self._exact.get(name)) is not None:
            return Found(found)
        if stem and (found := self._exact.get(stem)) is not None:
            return Found(found, stem)
        if not self._below:
            return None
        if (found := self._wildcard(name)) is not None:
            return Found(found)
        if stem and (found := self._wildcard(stem)) is not None:
            return Found(found, stem)
        return None

    def _without_search(self, name: bytes) -> bytes:
        """The name without the search domain behind it; b"" when that is not there."""
        search = self._search
        if not search or not name.endswith(search):
            return b""
        wanted, at = len(name) - len(search), 0
        while at < wanted:  # the end of the name must also begin where a label does
            at += 1 + name[at]
        return name[:wanted] + b"\0" if at == wanted > 0 else b""

    def _wildcard(self, name: bytes) -> HostAddresses | None:
        at = 0
        while name[at]:
            at += 1 + name[at]
            if (found := self._below.get(name[at:])) is not None:
                return found
        return None
