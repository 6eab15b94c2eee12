from __future__ import annotations

import pytest

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.matchers import HeaderMatch
from sidecar.config.routes import RetryPolicy
from sidecar.router.retry import (
    Reset,
    RetryRules,
    backoff_ms,
    excluded_priorities,
    should_retry,
)


def rules(*terms: str, **more: object) -> RetryRules:
    return RetryRules(RetryPolicy(retry_on=frozenset(terms), num_retries=2, **more))  # type: ignore[arg-type]


def response(status: int, **headers: bytes) -> ResponseHeaders:
    made = ResponseHeaders(status)
    for name, value in headers.items():
        made[name.replace("_", "-").encode()] = value
    return made


HEADER = (HeaderMatch(name=b"x-again", kind="present"),)


@pytest.mark.parametrize(
    ("terms", "more", "head", "again"),
    [
        (["5xx"], {}, response(500), True),
        (["5xx"], {}, response(599), True),
        (["5xx"], {}, response(404), False),
        (["gateway-error"], {}, response(500), False),
        (["gateway-error"], {}, response(502), True),
        (["gateway-error"], {}, response(504), True),
        (["retriable-4xx"], {}, response(409), True),
        (["retriable-4xx"], {}, response(404), False),
        (["retriable-status-codes"], {"retriable_status_codes": frozenset((503, 404))}, response(404), True),
        (["retriable-status-codes"], {"retriable_status_codes": frozenset((503,))}, response(503), True),
        (["retriable-status-codes"], {"retriable_status_codes": frozenset((503,))}, response(500), False),
        ([], {"retriable_status_codes": frozenset((503,))}, response(503), False),
        (["retriable-headers"], {"retriable_headers": HEADER}, response(200, x_again=b""), True),
        (["retriable-headers"], {"retriable_headers": HEADER}, response(200), False),
        (["unavailable"], {}, response(200, grpc_status=b"14"), True),
        (["cancelled"], {}, response(200, grpc_status=b"1"), True),
        (["cancelled"], {}, response(200, grpc_status=b"14"), False),
        (["deadline-exceeded"], {}, response(200, grpc_status=b"4"), True),
        (["resource-exhausted"], {}, response(200, grpc_status=b"8"), True),
        (["internal"], {}, response(200, grpc_status=b"13"), True),
        (["5xx"], {}, response(200, grpc_status=b"14"), False),
        (["5xx"], {}, response(503, x_envoy_ratelimited=b"true"), False),
        (["envoy-ratelimited"], {}, response(429, x_envoy_ratelimited=b"true"), True),
        (["envoy-ratelimited"], {}, response(429), False),
    ],
)
def test_responses(terms: list[str], more: dict[str, object], head: ResponseHeaders, again: bool) -> None:
    assert rules(*terms, **more).on_response(head) is again


@pytest.mark.parametrize(
    ("terms", "reset", "started", "again"),
    [
        (["connect-failure"], Reset.CONNECT_FAILURE, False, True),
        (["connect-failure"], Reset.DISCONNECT, True, False),
        (["reset"], Reset.DISCONNECT, True, True),
        (["reset"], Reset.PER_TRY_TIMEOUT, True, True),
        (["reset-before-request"], Reset.DISCONNECT, False, True),
        (["reset-before-request"], Reset.DISCONNECT, True, False),
        (["5xx"], Reset.DISCONNECT, True, True),
        (["gateway-error"], Reset.PER_TRY_TIMEOUT, True, True),
        (["5xx"], Reset.OVERFLOW, False, False),
        (["refused-stream"], Reset.REFUSED_STREAM, True, True),
        (["refused-stream"], Reset.DISCONNECT, True, False),
        (["retriable-status-codes"], Reset.CONNECT_FAILURE, False, False),
    ],
)
def test_resets(terms: list[str], reset: Reset, started: bool, again: bool) -> None:
    assert rules(*terms).on_reset(reset, started) is again


def test_retries_run_out() -> None:
    assert should_retry(rules("5xx"), 1, response=response(500))
    assert not should_retry(rules("5xx"), 2, response=response(500))
    assert should_retry(rules("reset"), 0, reset=Reset.DISCONNECT)
    assert not should_retry(rules("reset"), 0)


def test_only_requests_that_ask_for_it_are_retried() -> None:
    request = RequestHeaders(b"GET", b"/", b"h")
    assert rules("5xx").applies(request)
    assert not rules().applies(request)
    limited = rules("5xx", retriable_request_headers=HEADER)
    assert not limited.applies(request)
    request[b"x-again"] = b"1"
    assert limited.applies(request)


@pytest.mark.parametrize(
    ("retries_done", "random", "wait_ms"),
    [
        (0, 1.0, 25.0),
        (0, 0.5, 12.5),
        (1, 1.0, 50.0),
        (2, 1.0, 100.0),
        (3, 1.0, 200.0),
        (4, 1.0, 250.0),
        (99, 1.0, 250.0),
    ],
)
def test_backoff_doubles_up_to_the_maximum(retries_done: int, random: float, wait_ms: float) -> None:
    assert backoff_ms(RetryPolicy(retry_on=frozenset()), retries_done, random) == wait_ms


@pytest.mark.parametrize(
    ("every", "tried", "excluded"),
    [
        (None, [0, 0, 0], set()),
        (2, [0], set()),
        (2, [0, 0], {0}),
        (2, [0, 0, 1], {0}),
        (2, [0, 0, 1, 1], {0, 1}),
        (1, [0, 1, 2], set()),
        (1, [0, 1, 2, 0], {0}),
    ],
)
def test_priorities_tried_are_left_out_until_all_were(every: int | None, tried: list[int], excluded: set[int]) -> None:
    policy = RetryPolicy(retry_on=frozenset(), previous_priorities_every=every)
    assert excluded_priorities(policy, tried, [0, 1, 2]) == excluded
