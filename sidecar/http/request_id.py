"""x-request-id values: UUID version 4 from pooled randomness, since one read of the kernel's costs more than an id."""

from __future__ import annotations

import os

_IDS_PER_READ = 256


class RequestIds:
    """`next()` gives one id, like 3fa85f64-5717-4562-b3fc-2c963f66afa6."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def next(self) -> bytes:
        """A fresh id; its last 12 digits are never reused."""
        at = self._at
        pool = self._pool
        if at == len(pool):
            pool = self._pool = os.urandom(16 * _IDS_PER_READ).hex().encode()
            at = 0
        self._at = at + 32
        return b"%b-%b-4%b-%c%b-%b" % (
            pool[at : at + 8],
            pool[at + 8 : at + 12],
            pool[at + 13 : at + 16],
            _VARIANT[pool[at + 16] & 3],
            pool[at + 17 : at + 20],
            pool[at + 20 : at + 32],
        )


#: RFC 4122 4.1.1: the two high bits of this digit are 10.
_VARIANT = b"89ab"
