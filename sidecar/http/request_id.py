"""x-request-id values: UUIDs of version 4, made many at a time: one by one they cost as much as matching a route."""

from __future__ import annotations

import os

_IDS_PER_READ = 256
_DIGITS = 32
_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_VERSION_AT, _VARIANT_AT = 14, 19
#: RFC 4122 4.1.1: the two high bits of this digit are 10.
_VARIANT = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)


class RequestIds:
    """`next()` gives one id, like 3fa85f64-5717-4562-b3fc-2c963f66afa6; the hot path pops `ready` while it can."""

    __slots__ = ("ready",)

    def __init__(self) -> None:
        self.ready: list[bytes] = []

    def next(self) -> bytes:
        """A fresh id."""
        if not self.ready:
            self.ready = _make(os.urandom(_DIGITS // 2 * _IDS_PER_READ).hex().encode(), _IDS_PER_READ)
        return self.ready.pop()


def _make(digits: bytes, count: int) -> list[bytes]:
    """`count` ids out of 32 random hex digits each: all ids at once, position by position."""
    text = bytearray(_LENGTH * count)
    positions = [at for at in range(_LENGTH) if at not in _DASHES]
    for digit, at in enumerate(positions):
        text[at::_LENGTH] = digits[digit::_DIGITS]
    for at in _DASHES:
        text[at::_LENGTH] = b"-" * count
    text[_VERSION_AT::_LENGTH] = b"4" * count
    text[_VARIANT_AT::_LENGTH] = text[_VARIANT_AT::_LENGTH].translate(_VARIANT)
    made = bytes(text)
    return [made[at : at + _LENGTH] for at in range(0, len(made), _LENGTH)]
