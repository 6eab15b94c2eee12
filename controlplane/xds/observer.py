"""What the xDS server reports about itself; metrics implement it, tests and bare servers use the silent one."""

from __future__ import annotations


class XdsObserver:
    """Every method is optional to override. Durations in seconds, types as `CDS`, `EDS`, `LDS`, `RDS`, `NDS`, `WDS`."""

    def connected(self, count: int) -> None:
        """There are `count` streams now."""

    def pushed(self, kind: str, size_bytes: int) -> None:
        """A response of this type was written."""

    def send_failed(self, kind: str) -> None:
        """A response of this type could not be written: the stream is gone."""

    def rejected(self, kind: str) -> None:
        """A proxy refused a response (NACK)."""

    def acknowledged(self, kind: str, seconds: float) -> None:
        """From writing a response to its ACK."""

    def translated(self, kind: str, seconds: float) -> None:
        """One type for one proxy was built."""

    def translation_failed(self, kind: str) -> None:
        """Translation raised; the proxy keeps what it has."""

    def queued(self, seconds: float) -> None:
        """How long a push waited for its proxy's turn."""

    def converged(self, seconds: float) -> None:
        """From a change to the last acknowledgement of one proxy."""

    def triggered(self, triggers: dict[str, int]) -> None:
        """A push began; what caused it, and how often."""

    def snapshot_built(self, seconds: float) -> None:
        """The mesh snapshot was rebuilt."""

    def snapshot_failed(self) -> None:
        """Rebuilding the snapshot raised; the last good one stays in force."""
