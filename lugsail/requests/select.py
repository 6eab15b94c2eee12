"""Which hops are wanted: what the options of `lugsail requests` say, all of it at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lugsail.request_id import as_sent, unchanged_part
from lugsail.requests.joiner import Hop
from lugsail.requests.peers import Peer

_CODE = re.compile(r"[0-5][0-9x][0-9x]|0")
#: Letters that no log format escapes.
_PLAIN_ID = re.compile(r"[\w.-]+", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class BadFilter(ValueError):
    """An option's value makes no sense; the message names it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Empty fields ask for nothing. `code`: `503` or `5xx`; `path`: a beginning; `since` in seconds since the epoch."""

    workload: str = ""
    source: str = ""
    destination: str = ""
    code: str = ""
    flag: str = ""
    request_id: str = ""
    path: str = ""
    since: float = 0.0

    def __post_init__(self) -> None:
        if self.code and not _CODE.fullmatch(self.code):
            raise BadFilter(f"--code {self.code}: expected a status such as 503, or a class such as 5xx.")

    @property
    def is_everything(self) -> bool:
        return self == Wanted(since=self.since)

    @property
    def probe(self) -> bytes:
        """What every line of a wanted request has in it, as it stands in the log; b"" for nothing that is known."""
        plain = _PLAIN_ID.fullmatch(self.request_id)
        return b"" if plain is None else unchanged_part(plain[0]).encode()

    def has(self, hop: Hop) -> bool:
        """Whether the request itself is wanted, whoever the two sides are."""
        line = hop.line
        if line.start < self.since or (self.request_id and as_sent(line.request_id) != as_sent(self.request_id)):
            return False
        if self.code and not _fits(self.code, line.code):
            return False
        if self.flag and self.flag.upper() not in {flag for _, flag in hop.flags}:
            return False
        return not self.path or line.path.startswith(self.path)

    def has_sides(self, source: Peer, destination: Peer) -> bool:
        if self.source and not source.is_named(self.source):
            return False
        if self.destination and not destination.is_named(self.destination):
            return False
        return not self.workload or source.is_named(self.workload) or destination.is_named(self.workload)


def _fits(wanted: str, code: int) -> bool:
    shown = str(code)
    return len(wanted) == len(shown) and all(w in ("x", s) for w, s in zip(wanted, shown, strict=True))


def duration_s(text: str) -> float:
    """`30s`, `1m`, `500ms`, or seconds. Raises BadFilter."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadFilter(f"--since {text}: expected a duration such as 30s, 5m or 1h.")
    return float(match[1]) * _UNITS_S[match[2]]
