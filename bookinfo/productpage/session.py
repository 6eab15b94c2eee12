"""The signed session cookie: who is signed in. Pure.

The value is `<user>.<signature>`, both base64url without padding; the signature is HMAC-SHA256 of the first part.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

COOKIE = "session"
USER_LIMIT = 64


def usable_name(typed: str) -> str:
    """A typed name as it may travel in a header: no control characters, no outer blanks, at most USER_LIMIT long."""
    return "".join(char for char in typed if char.isprintable()).strip()[:USER_LIMIT]


def sign(user: str, secret: str) -> str:
    """The cookie's value for a user."""
    payload = _encode(user.encode())
    return f"{payload}.{_encode(_mac(payload, secret))}"


def user_of(value: str | None, secret: str) -> str | None:
    """The user that a cookie's value names; None where there is no cookie or its signature does not fit."""
    payload, dot, signature = (value or "").partition(".")
    if not dot or not hmac.compare_digest(_encode(_mac(payload, secret)).encode(), signature.encode()):
        return None
    try:
        return _decode(payload).decode() or None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _mac(payload: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), payload.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
