"""Loopback addresses for tests that need fixed ports, apart from those of other test processes."""

import os


def own_ip(number: int) -> str:
    """An address of 127.0.0.0/8 that only this process uses; `number` (0–255) tells test modules apart."""
    pid = os.getpid()
    return f"127.{64 + pid // 256 % 64}.{pid % 256}.{number}"
