"""Health checks of the app, asked for from outside and carried out inside the pod, as Istio rewrites probes.

What calls the app from outside comes through the sidecar, and would be told of the sidecar. So the caller asks
the agent, `/app-health/<container>/<livez|readyz|startupz>`, which asks the app itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

#: Connections from here are the proxy's own to its app: the rules of the pod let them past.
INSIDE_SOURCE = "127.0.0.6"
#: Where the probes are written down: JSON as in Istio's ISTIO_KUBE_APP_PROBERS.
PROBERS_VARIABLE = "LUGSAIL_APP_PROBERS"

_MAX_PROBES = 64
_MAX_TIMEOUT_S = 60.0
#: Of an app's answer so much is passed on.
_MAX_BODY_BYTES = 10 * 1024
_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class BadProbes(Exception):
    """The description of the probes is wrong; the text says where and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check of the app. `path` is None for a mere TCP connection."""

    port: int
    path: str | None = None
    https: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 1.0


def parse_probes(text: str) -> dict[str, Probe]:
    """Probes by the path they are asked for, from JSON such as
    `{"/app-health/reviews/livez": {"httpGet": {"path": "/health", "port": 9080}, "timeoutSeconds": 1}}`; "" has none.
    Raises BadProbes."""
    if not text.strip():
        return {}
    try:
        documents = json.loads(text)
    except ValueError as error:
        raise BadProbes(f"{PROBERS_VARIABLE} is not JSON: {error}") from error
    if not isinstance(documents, dict) or len(documents) > _MAX_PROBES:
        raise BadProbes(f"{PROBERS_VARIABLE} must be an object of at most {_MAX_PROBES} probes by path")
    return {path: _probe(path, one) for path, one in documents.items()}


def _probe(path: str, document: Any) -> Probe:
    where = f"{PROBERS_VARIABLE}: {path}"
    if not path.startswith("/app-health/"):
        raise BadProbes(f"{where}: the path must begin with /app-health/")
    if not isinstance(document, dict):
        raise BadProbes(f"{where}: must be an object")
    timeout = document.get("timeoutSeconds", 1) or 1
    if not isinstance(timeout, int | float) or not 0 < timeout <= _MAX_TIMEOUT_S:
        raise BadProbes(f"{where}.timeoutSeconds: {timeout!r} is not a number up to {_MAX_TIMEOUT_S:g}")
    http, tcp = document.get("httpGet"), document.get("tcpSocket")
    if isinstance(http, dict) and tcp is None:
        scheme = str(http.get("scheme") or "HTTP").upper()
        if scheme not in ("HTTP", "HTTPS"):
            raise BadProbes(f"{where}.httpGet.scheme: {scheme!r} is neither HTTP nor HTTPS")
        target = str(http.get("path") or "/")
        return Probe(
            port=_port(http.get("port"), f"{where}.httpGet.port"),
            path=target if target.startswith("/") else f"/{target}",
            https=scheme == "HTTPS",
            headers=_headers(http.get("httpHeaders"), f"{where}.httpGet.httpHeaders"),
            timeout_s=float(timeout),
        )
    if isinstance(tcp, dict) and http is None:
        return Probe(port=_port(tcp.get("port"), f"{where}.tcpSocket.port"), timeout_s=float(timeout))
    raise BadProbes(f"{where}: needs either httpGet or tcpSocket")


def _port(value: Any, where: str) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or not 0 < value < 65536:
        raise BadProbes(f"{where}: {value!r} is not a port number")
    return value


def _headers(rows: Any, where: str) -> tuple[tuple[str, str], ...]:
    found = []
    for row in rows or ():
        if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
            raise BadProbes(f'{where}: must be a list such as [{{"name": "x", "value": "y"}}]')
        found.append((str(row["name"]), str(row.get("value", ""))))
    return tuple(found)


async def run_probe(probe: Probe, addresses: tuple[str, ...], asked_with: Mapping[str, str]) -> tuple[int, bytes]:
    """(status, body) of a check at the first of the pod's `addresses` that answers; 503 where the app does not.

    `asked_with` are the headers of the question, which go on to the app; the probe's own win.
    """
    if probe.path is None:
        ok = await accepts(addresses, probe.port, probe.timeout_s)
        return (200, b"") if ok else (503, f"port {probe.port} takes no connection\n".encode())
    headers = {name: value for name, value in asked_with.items() if name.lower() not in _HOP_BY_HOP}
    headers |= dict(probe.headers)
    problem: Exception | None = None
    for address in addresses:
        url = f"{'https' if probe.https else 'http'}://{address}:{probe.port}{probe.path}"
        connector = aiohttp.TCPConnector(local_addr=(INSIDE_SOURCE, 0), force_close=True)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=aiohttp.ClientTimeout(total=probe.timeout_s), auto_decompress=False
                ) as session,
                # As a kubelet: a redirect within the app is followed by nobody, and certificates are not looked at.
                session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer,
            ):
                return answer.status, await answer.content.read(_MAX_BODY_BYTES)
        except (aiohttp.ClientConnectorError, OSError) as error:
            problem = error
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            problem = error
            break
    return 503, f"the app does not answer on port {probe.port}: {problem or type(problem).__name__}\n".encode()


async def accepts(addresses: tuple[str, ...], port: int, timeout_s: float) -> bool:
    """Whether somebody takes TCP connections on this port, at any of the pod's addresses."""
    for address in addresses:
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(address, port, local_addr=(INSIDE_SOURCE, 0))
        except OSError:  # TimeoutError is one
            continue
        writer.close()
        return True
    return False
