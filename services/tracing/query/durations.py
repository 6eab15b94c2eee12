"""Durations as Go writes them (`time.ParseDuration`): what Jaeger's parameters are in."""

from __future__ import annotations

import re

_UNITS_US = {"ns": 0.001, "us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6, "d": 86400e6}
_PART = re.compile(r"(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str) -> int:
    """In µs. Days (`2d`) are taken too: Jaeger's UI writes lookbacks so. Raises ValueError."""
    rest = text.removeprefix("+")
    total = 0.0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or total > 1e18:
            break
        total += float(part[1]) * _UNITS_US[part[2]]
        position = part.end()
    if not rest or position < len(rest):
        if rest == "0":
            return 0
        raise ValueError(f"{text[:80]!r} is not a duration such as 1.2s, 100ms, 500us or 1h30m")
    return round(total)


def write_duration(us: int) -> str:
    """For people, and as Go would: 1.5s, 20ms, 300µs, -2ms."""
    sign, size = ("-", -us) if us < 0 else ("", us)
    for unit, scale in (("s", 1_000_000), ("ms", 1000)):
        if size >= scale:
            return f"{sign}{size / scale:.6f}".rstrip("0").rstrip(".") + unit
    return f"{sign}{size}µs" if size else "0s"
