from __future__ import annotations

import pytest
import re2
import xxhash

from sidecar.codec.headers import RequestHeaders
from sidecar.config.routes import HashPolicy
from sidecar.router.hash_policy import cookie_value, request_hash

IP = b"10.0.0.1"


def request(*headers: tuple[bytes, bytes]) -> RequestHeaders:
    made = RequestHeaders(b"GET", b"/p?user=jason&x", b"host")
    for name, value in headers:
        made.add(name, value)
    return made


def digest(policies: list[HashPolicy], made: RequestHeaders) -> int | None:
    return request_hash(policies, made, IP, lambda: b"new")[0]


@pytest.mark.parametrize(
    ("policy", "hashed"),
    [
        (HashPolicy(kind="header", name=b"h"), b"value"),
        (HashPolicy(kind="header", name=b"missing"), None),
        (HashPolicy(kind="header", name=b":authority"), b"host"),
        (HashPolicy(kind="header", name=b"h", regex=re2.compile(b"al"), replacement=b"_"), b"v_ue"),
        (HashPolicy(kind="cookie", name=b"c"), b"1"),
        (HashPolicy(kind="cookie", name=b"missing"), None),
        (HashPolicy(kind="source_ip"), IP),
        (HashPolicy(kind="query", name=b"user"), b"jason"),
        (HashPolicy(kind="query", name=b"missing"), None),
    ],
)
def test_what_is_hashed(policy: HashPolicy, hashed: bytes | None) -> None:
    made = request((b"h", b"value"), (b"cookie", b"a=b; c=1"))
    assert digest([policy], made) == (None if hashed is None else xxhash.xxh64_intdigest(hashed))


def test_policies_mix_in_order_until_a_terminal_one_that_hashes() -> None:
    header = HashPolicy(kind="header", name=b"h")
    user = HashPolicy(kind="query", name=b"user")
    made = request((b"h", b"value"))
    both = digest([header, user], made)
    assert both not in (digest([header], made), digest([user], made), digest([user, header], made), None)
    assert digest([HashPolicy(kind="header", name=b"h", terminal=True), user], made) == digest([header], made)
    assert digest([HashPolicy(kind="header", name=b"none", terminal=True), user], made) == digest([user], made)


def test_repeated_headers_hash_alike_in_any_order() -> None:
    policy = [HashPolicy(kind="header", name=b"h")]
    first, second = request((b"h", b"a"), (b"h", b"b")), request((b"h", b"b"), (b"h", b"a"))
    assert digest(policy, first) == digest(policy, second) != digest(policy, request((b"h", b"a")))


@pytest.mark.parametrize(
    ("policy", "cookie"),
    [
        (HashPolicy(kind="cookie", name=b"c", ttl_ms=3_600_000.0), b'c="new"; Max-Age=3600; HttpOnly'),
        (HashPolicy(kind="cookie", name=b"c", ttl_ms=0.0, path=b"/x"), b'c="new"; Path=/x; HttpOnly'),
        (
            HashPolicy(kind="cookie", name=b"c", ttl_ms=0.0, attributes=((b"SameSite", b"Lax"), (b"Secure", b""))),
            b'c="new"; SameSite=Lax; Secure; HttpOnly',
        ),
    ],
)
def test_a_missing_cookie_with_a_ttl_is_made(policy: HashPolicy, cookie: bytes) -> None:
    assert request_hash([policy], request(), IP, lambda: b"new") == (xxhash.xxh64_intdigest(b"new"), (cookie,))
    there = request((b"cookie", b"c=old"))
    assert request_hash([policy], there, IP, lambda: b"new") == (xxhash.xxh64_intdigest(b"old"), ())


@pytest.mark.parametrize(
    ("line", "value"),
    [(b"c=1", b"1"), (b'a=b;c="1"', b"1"), (b"cc=2; c=1; c=3", b"1"), (b"c=", None), (b"d=c=1", None), (b"", None)],
)
def test_cookies(line: bytes, value: bytes | None) -> None:
    assert cookie_value(request((b"cookie", line)), b"c") == value
