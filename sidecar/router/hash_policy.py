"""The hash of a request for consistent load balancing, from a route's hash policies (xxHash64, as Envoy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import xxhash

from sidecar.codec.headers import RequestHeaders
from sidecar.config.routes import HashPolicy
from sidecar.router.match import query_parameters, split_path
from sidecar.router.rewrite import substitute

_MASK = (1 << 64) - 1


def request_hash(
    policies: Sequence[HashPolicy], request: RequestHeaders, source_ip: bytes, new_cookie: Callable[[], bytes]
) -> tuple[int | None, tuple[bytes, ...]]:
    """(the hash or None, Set-Cookie values to send with the response).

    Several policies are mixed by rotating and xor-ing; a `terminal` one ends the list once there is a hash.
    `new_cookie()` gives a fresh value for a cookie that must be made; it is called at most once per cookie policy.
    """
    mixed: int | None = None
    cookies: list[bytes] = []
    for policy in policies:
        value = _value(policy, request, source_ip)
        if value is None and policy.kind == "cookie" and policy.ttl_ms is not None:
            value = new_cookie()
            cookies.append(_set_cookie(policy, value))
        if value is not None:
            one = value if isinstance(value, int) else xxhash.xxh64_intdigest(value)
            mixed = one if mixed is None else (((mixed << 1) & _MASK) | (mixed >> 63)) ^ one
        if policy.terminal and mixed is not None:
            break
    return mixed, tuple(cookies)


def _value(policy: HashPolicy, request: RequestHeaders, source_ip: bytes) -> bytes | int | None:
    """What the policy hashes, or the hash itself; None where the request lacks it."""
    if policy.kind == "header":
        values = request.get_all(policy.name) if policy.name[:1] != b":" else [request.lookup(policy.name) or b""]
        if policy.regex is not None:
            values = [substitute(policy.regex, policy.replacement, value) for value in values]
        if len(values) < 2:
            return values[0] if values else None
        # Several lines of a header count in any order: each is hashed with the hash of those before as its seed.
        chained = 0
        for value in sorted(values):
            chained = xxhash.xxh64_intdigest(value, chained)
        return chained
    if policy.kind == "cookie":
        return cookie_value(request, policy.name)
    if policy.kind == "source_ip":
        return source_ip or None
    return query_parameters(split_path(request.path)[1]).get(policy.name)


def cookie_value(request: RequestHeaders, name: bytes) -> bytes | None:
    """A cookie of the request by name, without the quotes there may be; None where it is missing or empty."""
    for line in request.get_all(b"cookie"):
        for item in line.split(b";"):
            key, _, value = item.strip().partition(b"=")
            if key == name:
                if len(value) > 1 and value[:1] == value[-1:] == b'"':
                    value = value[1:-1]
                return value or None
    return None


def _set_cookie(policy: HashPolicy, value: bytes) -> bytes:
    """`name="value"; Max-Age=…; Path=…; …; HttpOnly`, as Envoy writes it; a session cookie has no Max-Age."""
    out = b'%s="%s"' % (policy.name, value)
    if policy.ttl_ms:
        out += b"; Max-Age=%d" % (policy.ttl_ms // 1000)
    if policy.path:
        out += b"; Path=" + policy.path
    for name, setting in policy.attributes:
        out += b"; " + name + (b"=" + setting if setting else b"")
    return out + b"; HttpOnly"
