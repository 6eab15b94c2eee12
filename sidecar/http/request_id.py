"""x-request-id values: UUIDs of version 4, made many at a time: reading randomness costs more than an id."""

from __future__ import annotations

import os

_IDS_PER_READ = 256
#: RFC 4122 4.1.1: the two high bits of this digit are 10.
_VARIANT = ("8", "9", "a", "b")


class RequestIds:
    """`next()` gives one id, like 3fa85f64-5717-4562-b3fc-2c963f66afa6; the hot path pops `ready` while it can."""

    __slots__ = ("ready",)

    def __init__(self) -> None:
        self.ready: list[bytes] = []

    def next(self) -> bytes:
        """A fresh id."""
        if not self.ready:
            random = os.urandom(16 * _IDS_PER_READ).hex()
            self.ready = [_format(random[at : at + 32]) for at in range(0, len(random), 32)]
        return self.ready.pop()


def _format(digits: str) -> bytes:
    variant = _VARIANT[int(digits[16], 16) & 3]
    text = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
    return text.encode()
