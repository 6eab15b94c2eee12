"""What every decoder makes: spans as rows, by the resource that they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class BadSpans(Exception):
    """What was sent cannot be read. The text says where and what would be right."""


class Row(NamedTuple):
    """One span as it is stored. Times in µs; ids as the wire has them, span ids as signed 64-bit integers."""

    trace: bytes
    span: int
    parent: int  # 0: none
    kind: int
    start_us: int
    duration_us: int
    name: str
    bits_a: int
    bits_b: int
    request: int | None  # hash of the request id
    blob: bytes  # the OTLP Span


@dataclass(slots=True)
class Group:
    """Spans of one resource and scope. `resource` is an OTLP ResourceSpans that has no spans."""

    resource: bytes
    service: str
    rows: list[Row]


@dataclass(slots=True)
class Batch:
    """All that one request brought."""

    groups: list[Group] = field(default_factory=list)
    spans: int = 0
    size_bytes: int = 0
    rejected: int = 0
    #: What is wrong with the first that was rejected.
    reason: str = ""

    def reject(self, reason: str) -> None:
        """One more span cannot be taken."""
        self.rejected += 1
        self.reason = self.reason or reason
