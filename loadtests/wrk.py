"""wrk as the load, where it is installed: its command line, and its text report as numbers. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\s*$", re.MULTILINE)
_TOTAL = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m),", re.MULTILINE)
_NON_2XX = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")

# Every other request carries the variant's header, as loadtests.load_client does it.
_SCRIPT = """
local n, plain, variant = 0, nil, nil
function init()
  plain = wrk.format("GET", "{path}")
  wrk.headers["{name}"] = "{value}"
  variant = wrk.format("GET", "{path}")
end
function request()
  n = n + 1
  if n % 2 == 0 then return plain end
  return variant
end
"""


def script(path: str, header: str) -> str:
    """wrk's Lua script for a path and one variant header, `name: value`."""
    name, _, value = header.partition(":")
    return _SCRIPT.format(path=path, name=name.strip(), value=value.strip())


def command(
    wrk: str, connect: str, headers: Sequence[str], connections: int, seconds: float, script_file: str
) -> list[str]:
    """The command line: one thread, latency percentiles. wrk knows whole seconds only."""
    whole_s = max(1, round(seconds))
    options = ["-t1", f"-c{connections}", f"-d{whole_s}s", "--latency", "-s", script_file]
    for header in headers:
        options += ["-H", header]
    return [wrk, *options, f"http://{connect}/"]


def parse(text: str) -> dict[str, Any]:
    """wrk's report in the shape of loadtests.load_client's. Raises ValueError when it is no report."""
    total = _TOTAL.search(text)
    if total is None:
        raise ValueError(f"not a report of wrk: {text[:200]!r}")
    requests, seconds = int(total[1]), float(total[2]) * _UNITS_MS[total[3]] / 1000
    failed = _NON_2XX.search(text)
    bad = int(failed[1]) if failed else 0
    result: dict[str, Any] = {
        "requests": requests,
        "seconds": round(seconds, 3),
        "requests_per_s": round(requests / seconds, 1),
        "statuses": {"2xx": requests - bad, **({"other": bad} if bad else {})},
        "errors": {},
    }
    sockets = _SOCKET.search(text)
    if sockets:
        kinds = ("connect", "read", "write", "timeout")
        result["errors"] = {kind: int(n) for kind, n in zip(kinds, sockets.groups(), strict=True) if int(n)}
    for share, number, unit in _LATENCY.findall(text):
        result[f"p{share}_ms"] = round(float(number) * _UNITS_MS[unit], 3)
    return result
