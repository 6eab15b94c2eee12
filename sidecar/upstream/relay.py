"""Two connections joined byte for byte, with back-pressure: upgraded HTTP connections and TCP proxying."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast


class RelayOwner(Protocol):
    """Who wants to know about a relay's traffic and its end."""

    def relayed(self, from_downstream: bool, size: int) -> None:
        """`size` bytes went through."""

    def relay_closed(self, by_downstream: bool, error: Exception | None) -> None:
        """One side is gone, the other is being closed. Called for each side, the one that went first first."""


class RelaySide(asyncio.Protocol):
    """One side of a relay. Made in pairs by `join`, or first alone while the other side still connects."""

    __slots__ = ("_ended", "_half_close", "_owner", "_waiting", "is_downstream", "peer", "transport")

    def __init__(self, owner: RelayOwner, is_downstream: bool, half_close: bool = True) -> None:
        self._half_close = half_close
        self._owner = owner
        self._waiting: list[bytes] = []
        self._ended = False
        self.is_downstream = is_downstream
        self.transport: asyncio.Transport | None = None
        self.peer: RelaySide | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by type

    def data_received(self, data: bytes) -> None:
        self._owner.relayed(self.is_downstream, len(data))
        peer = self.peer
        if peer is None or peer.transport is None:
            self._waiting.append(data)
            if self.transport is not None:
                self.transport.pause_reading()  # one read at most is held
            return
        peer.transport.write(data)

    def eof_received(self) -> bool:
        """Half-close travels on: the other direction may still have something to say."""
        self._ended = True
        if not self._half_close:
            return False
        peer = self.peer
        if peer is not None and peer.transport is not None:
            if peer._ended:
                return False
            if peer.transport.can_write_eof():
                peer.transport.write_eof()
                return True
        return peer is None

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        peer = self.peer
        if peer is not None and peer.transport is not None and not peer.transport.is_closing():
            peer.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
            if peer.transport is not None:
                peer.transport.close()
        self._owner.relay_closed(self.is_downstream, error)

    def attach(self, peer: RelaySide) -> None:
        """Join this side, connected, to the other, connected; what waited goes out."""
        self.peer = peer
        peer.peer = self
        for one, other in ((self, peer), (peer, self)):
            assert one.transport is not None and other.transport is not None
            if one._waiting:
                other.transport.write(b"".join(one._waiting))
                one._waiting.clear()
                one.transport.resume_reading()
            if one._ended and other.transport.can_write_eof():
                other.transport.write_eof()


class ClosingOnce:
    """A relay owner that only counts, and calls back once at the end."""

    __slots__ = ("_on_close", "received", "sent")

    def __init__(self, on_close: Callable[[bool, Exception | None], None]) -> None:
        self.received = 0
        self.sent = 0
        self._on_close: Callable[[bool, Exception | None], None] | None = on_close

    def relayed(self, from_downstream: bool, size: int) -> None:
        if from_downstream:
            self.received += size
        else:
            self.sent += size

    def relay_closed(self, by_downstream: bool, error: Exception | None) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close(by_downstream, error)


def join(owner: RelayOwner, downstream: asyncio.Transport, upstream: asyncio.Transport) -> tuple[RelaySide, RelaySide]:
    """Turn two live transports into a relay, for upgraded HTTP: the first side to end ends both."""
    left, right = RelaySide(owner, True, half_close=False), RelaySide(owner, False, half_close=False)
    for side, transport in ((left, downstream), (right, upstream)):
        transport.set_protocol(side)
        side.connection_made(transport)
    left.attach(right)
    for transport in (downstream, upstream):
        if not transport.is_reading():
            transport.resume_reading()
    return left, right
