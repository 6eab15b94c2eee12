"""One line of an access log as fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

NONE = "-"  # how Envoy writes what it does not know


@dataclass(slots=True)
class Line:
    """One request as one proxy saw it. Unknown text is empty; `start` in seconds since the epoch.

    `proxy` is `workload.namespace` of whose log it is. A code of 0: the client went away before there was an answer.
    """

    proxy: str
    start: float
    code: int
    method: str = ""
    path: str = ""
    protocol: str = ""
    flags: tuple[str, ...] = ()
    details: str = ""
    failure: str = ""  # %UPSTREAM_TRANSPORT_FAILURE_REASON%
    duration_ms: int | None = None
    request_id: str = ""
    authority: str = ""
    user_agent: str = ""
    upstream_host: str = ""
    cluster: str = ""
    upstream_local: str = ""
    downstream_local: str = ""
    downstream_remote: str = ""
    route_name: str = ""

    @property
    def end(self) -> float:
        return self.start + (self.duration_ms or 0) / 1000


#: Fields that are text as it stands.
TEXT_FIELDS = frozenset(each.name for each in fields(Line) if each.type == "str") - {"proxy"}


def line_of(proxy: str, values: Mapping[str, Any]) -> Line | None:
    """From a format's fields; None where it is no HTTP request (a plain TCP connection) or its time makes no sense."""
    try:
        start = datetime.fromisoformat(str(values["start"])).timestamp()
        code = 0 if values["code"] in (None, "", NONE) else int(values["code"])
        duration = values.get("duration_ms")
        duration_ms = None if duration in (None, "", NONE) else int(duration)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    text = {name: _text(values[name]) for name in TEXT_FIELDS & values.keys()}
    if code == 0 and not text.get("method"):
        return None
    flags = _text(values.get("flags"))
    return Line(proxy, start, code, flags=tuple(flags.split(",")) if flags else (), duration_ms=duration_ms, **text)


def host_of(address: str) -> str:
    """`127.20.1.1:9080` → `127.20.1.1`; `[::1]:80` → `::1`."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return address.strip("[]")
    return host.strip("[]")


def port_of(address: str) -> str:
    port = address.rpartition(":")[2]
    return port if port.isdigit() else ""


def _text(value: Any) -> str:
    return "" if value is None or value == NONE else str(value)
