"""Socket names as logs and statistics write them."""

from __future__ import annotations


def socket_name(name: object) -> str:
    """`ip:port` of what getpeername or getsockname gives, `[ip]:port` for IPv6; a Unix socket's path."""
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return str(name or "")
