"""The request id that every hop of a request carries, and what proxies write into it."""

from __future__ import annotations

import re

#: A UUID, with the digit that is not the sender's to keep: proxies write there why a request is traced
#: (4: it is not, 9: sampled, a and b: forced), as the stock Envoy does.
_UUID = re.compile(r"([0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-)[49abAB]([0-9A-Fa-f]{3}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})", re.ASCII)


UUID_LENGTH = 36
#: From here on every form of a UUID is the same.
AFTER_REASON = 15


def as_sent(request_id: str) -> str:
    """The same for every form of one id: what a client sent (a random UUID), and what logs and spans have of it."""
    match = _UUID.fullmatch(request_id)
    return request_id if match is None else f"{match[1]}4{match[2]}"
