"""The names that a pod's DNS server answers itself, as compiled from the control plane's name table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """The addresses of one host in network byte order: 4 bytes each, and 16 bytes each. Either may be empty."""

    v4: tuple[bytes, ...] = ()
    v6: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class NameTable:
    """Host → addresses. Hosts are lower case, without a dot at the end; `*.example.com` stands for all below."""

    hosts: Mapping[str, HostAddresses] = field(default_factory=dict)
