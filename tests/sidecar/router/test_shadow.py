from __future__ import annotations

import pytest

from sidecar.codec.headers import RequestHeaders
from sidecar.config.routes import MirrorPolicy
from sidecar.router.shadow import mirrors_for, shadow_request


def test_each_policy_decides_for_itself() -> None:
    all_of_it, half, none = (MirrorPolicy(cluster=str(f), fraction=f) for f in (1.0, 0.5, 0.0))
    numbers = iter([0.4, 0.0, 0.6, 0.0])
    assert mirrors_for([all_of_it, half, none], lambda: next(numbers)) == [all_of_it, half]
    assert mirrors_for([all_of_it, half, none], lambda: next(numbers)) == [all_of_it]


@pytest.mark.parametrize(
    ("host", "suffix", "shadow"),
    [
        (b"reviews", True, b"reviews-shadow"),
        (b"reviews:9080", True, b"reviews-shadow:9080"),
        (b"[::1]", True, b"[::1]-shadow"),
        (b"reviews:9080", False, b"reviews:9080"),
    ],
)
def test_the_host_is_marked(host: bytes, suffix: bool, shadow: bytes) -> None:
    policy = MirrorPolicy(cluster="c", append_shadow_suffix=suffix)
    assert shadow_request(RequestHeaders(b"GET", b"/", host), policy).authority == shadow


def test_the_copy_is_independent() -> None:
    request = RequestHeaders(b"POST", b"/x", b"h")
    request.add(b"a", b"1")
    request.add(b"a", b"2")
    copy = shadow_request(request, MirrorPolicy(cluster="c"))
    request.add(b"a", b"3")
    request[b"b"] = b"new"
    assert list(copy.lines()) == [(b"a", b"1"), (b"a", b"2"), (b"x-envoy-internal", b"true")]
    assert (copy.method, copy.path, copy.scheme) == (b"POST", b"/x", b"http")


def test_the_copy_says_who_made_it() -> None:
    request = RequestHeaders(b"GET", b"/", b"h")
    policy = MirrorPolicy(cluster="c")
    assert shadow_request(request, policy, b"127.0.0.1").get(b"x-forwarded-for") == b"127.0.0.1"
    request[b"x-forwarded-for"] = b"1.2.3.4"
    assert shadow_request(request, policy, b"127.0.0.1").get(b"x-forwarded-for") == b"1.2.3.4,127.0.0.1"
    assert request[b"x-forwarded-for"] == b"1.2.3.4"
