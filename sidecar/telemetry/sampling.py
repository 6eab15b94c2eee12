"""Whether a request is traced: by its request id, in which Envoy also writes down what was decided.

The first 8 hex digits of the id are the number that sampling goes by, so that every proxy which sees the id decides
alike; the 15th character, the version of the UUID, tells that a proxy before us has decided, and why.

Source: Envoy, conn_manager_utility.cc (mutateTracingRequestHeader) and the request id extension `uuid`.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable
from enum import IntEnum

from sidecar.codec.headers import RequestHeaders
from sidecar.config.tracing import Sampling, Share

UUID_LENGTH = 36
REASON_AT = 14


class Reason(IntEnum):
    """Why a request is traced."""

    NOT_TRACEABLE = 0
    SAMPLING = 1
    SERVICE_FORCED = 2
    CLIENT_FORCED = 3


_PACKED = {b"9": Reason.SAMPLING, b"a": Reason.SERVICE_FORCED, b"b": Reason.CLIENT_FORCED}
_DIGIT = {
    Reason.NOT_TRACEABLE: b"4",
    Reason.SAMPLING: b"9",
    Reason.SERVICE_FORCED: b"a",
    Reason.CLIENT_FORCED: b"b",
}
NUMBERS = 10_000


def number_of(request_id: bytes) -> int:
    """What a request id is sampled by, below NUMBERS; -1 for one that does not begin with 8 hex digits."""
    try:
        first = unhexlify(request_id[:8])
    except ValueError:
        return -1
    return int.from_bytes(first) % NUMBERS if len(first) == 4 else -1


def decide(request: RequestHeaders, sampling: Sampling, pack: bool, random: Callable[[], float]) -> Reason:
    """The decision for a request; `pack` writes it into the request id. `random` gives a number in [0, 1)."""
    request_id = request.get(b"x-request-id", b"")
    number = number_of(request_id)
    if number < 0:
        return Reason.NOT_TRACEABLE
    packed = _PACKED.get(request_id[REASON_AT : REASON_AT + 1]) if len(request_id) == UUID_LENGTH else None
    if packed is not None:
        reason = packed
    elif b"x-client-trace-id" in request and _share(sampling.client, int(random() * NUMBERS)):
        reason = Reason.CLIENT_FORCED
    elif b"x-envoy-force-trace" in request:
        reason = Reason.SERVICE_FORCED
    elif _share(sampling.random, number):
        reason = Reason.SAMPLING
    else:
        return Reason.NOT_TRACEABLE
    if not _share(sampling.overall, number):
        reason = Reason.NOT_TRACEABLE
    if pack and reason is not packed:
        pack_reason(request, reason)
    return reason


def pack_reason(request: RequestHeaders, reason: Reason) -> None:
    """Write a decision into the request id, where that is a UUID."""
    request_id = request.get(b"x-request-id", b"")
    if len(request_id) == UUID_LENGTH:
        request.set(b"x-request-id", request_id[:REASON_AT] + _DIGIT[reason] + request_id[REASON_AT + 1 :])


def _share(share: Share, number: int) -> bool:
    numerator, denominator = share
    return number % denominator < numerator
