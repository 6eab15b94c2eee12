"""A TCP service: each line comes back behind a prefix, so that one sees which version answered."""

from bookinfo.tcp_echo.app import main

__all__ = ["main"]
