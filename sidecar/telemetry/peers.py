"""Who runs at which address: the labels of a caller, where nothing but its address says who it is.

The control plane tells it, one workload at a time. A caller that it does not know stays `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peer:
    """One workload. Compared by identity, so that it costs a request nothing as part of a key. "" is not known."""

    workload: str
    namespace: str
    app: str
    version: str
    canonical_service: str
    canonical_revision: str
    cluster_id: str
    principal: str = ""


class Peers:
    """The workloads by address; `by_address.get` is what the data path asks."""

    def __init__(self) -> None:
        self.by_address: dict[str, Peer] = {}

    def update(self, changed: Mapping[str, Peer], removed: Iterable[str]) -> None:
        """Put changed workloads in, and take those out whose address nobody has any more."""
        for address in removed:
            self.by_address.pop(address, None)
        self.by_address.update(changed)
