"""The request id that every hop of a request carries, and what proxies write into it.

In a UUID one digit, its version, is not the sender's to keep: proxies write there why a request is traced (4: it is
not, 9: sampled, a and b: forced), as the stock Envoy does. Like it they take whatever is as long as a UUID for one.
"""

from __future__ import annotations

_UUID_LENGTH = 36
_REASON_AT = 14


def as_sent(request_id: str) -> str:
    """The same for every form of one id: what a client sent (a random UUID), and what logs and spans have of it."""
    if len(request_id) != _UUID_LENGTH:
        return request_id
    return f"{request_id[:_REASON_AT]}4{request_id[_REASON_AT + 1 :]}"


def unchanged_part(request_id: str) -> str:
    """What every form of an id ends with."""
    return request_id[_REASON_AT + 1 :] if len(request_id) == _UUID_LENGTH else request_id
