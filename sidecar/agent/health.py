"""Asking a proxy's admin page by hand: a few bytes over a socket, so that the agent of an Envoy stays small."""

from __future__ import annotations

import socket

_LIMIT_BYTES = 4 * 1024 * 1024


def ask_admin(ip: str, port: int, path: str, method: str = "GET", timeout_s: float = 1.0) -> tuple[int, str]:
    """(status, body) of one request. Raises OSError where nobody answers in time."""
    request = f"{method} {path} HTTP/1.1\r\nHost: {ip}:{port}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection((ip, port), timeout=timeout_s) as connection:
        connection.sendall(request.encode("ascii"))
        data = bytearray()
        while chunk := connection.recv(65536):
            data += chunk
            if len(data) > _LIMIT_BYTES:
                raise OSError(f"the answer to {path} is larger than {_LIMIT_BYTES} bytes")
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError(f"{ip}:{port} does not speak HTTP")
    if b"transfer-encoding: chunked" in head.lower():
        body = _dechunk(body)
    return int(words[1]), body.decode("utf-8", "replace")


def is_ready(ip: str, port: int) -> bool:
    """Whether the proxy behind this admin page has its configuration and takes traffic."""
    try:
        return ask_admin(ip, port, "/ready")[0] == 200
    except OSError:
        return False


def active_requests(ip: str, port: int) -> int:
    """Requests in flight through the proxy, its own admin page aside. Raises OSError."""
    status, body = ask_admin(ip, port, "/stats?filter=downstream_rq_active")
    if status != 200:
        raise OSError(f"/stats answered {status}")
    total = 0
    for line in body.splitlines():
        name, _, value = line.rpartition(": ")
        if name.startswith("http.") and not name.startswith("http.admin.") and value.isdigit():
            total += int(value)
    return total


def _dechunk(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)
