"""Whether a failed attempt is tried again, how long to wait before, and which hosts and priorities to avoid.

Envoy's retry policy (x-envoy-retry-on and x-envoy-retry-grpc-on terms). Pure: the data path tells what happened and
holds the timers and the circuit breaker's retry count.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.routes import RetryPolicy
from sidecar.filters.predicates import headers_predicate

_GRPC_TERMS = {
    b"1": "cancelled",
    b"4": "deadline-exceeded",
    b"8": "resource-exhausted",
    b"13": "internal",
    b"14": "unavailable",
}
_GATEWAY_ERRORS = frozenset((502, 503, 504))
_ANY_RESET = frozenset(("5xx", "gateway-error"))


class Reset(Enum):
    """Why an attempt ended without a whole response."""

    #: No connection: refused, unreachable, or not made in time.
    CONNECT_FAILURE = "connect-failure"
    #: The upstream refused the stream unprocessed (HTTP/2 REFUSED_STREAM).
    REFUSED_STREAM = "refused-stream"
    #: The connection broke, or the upstream reset the stream.
    DISCONNECT = "disconnect"
    #: A per-try timeout ran out.
    PER_TRY_TIMEOUT = "per-try-timeout"
    #: The circuit breaker let no request through; never tried again.
    OVERFLOW = "overflow"
    #: The response broke the protocol.
    PROTOCOL_ERROR = "protocol-error"


class RetryRules:
    """One retry policy made ready to ask; make it once per policy, not per request."""

    __slots__ = ("_grpc", "_headers", "_request_headers", "_statuses", "policy", "terms")

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.terms = policy.retry_on
        self._grpc = bool(policy.retry_on.intersection(_GRPC_TERMS.values()))
        self._headers = tuple(headers_predicate(match) for match in policy.retriable_headers)
        self._request_headers = tuple(headers_predicate(match) for match in policy.retriable_request_headers)
        self._statuses = policy.retriable_status_codes

    def applies(self, request: RequestHeaders) -> bool:
        """Whether this request may be retried at all: there are terms, and retriable_request_headers allow it."""
        if not self.terms:
            return False
        return not self._request_headers or any(test(request) for test in self._request_headers)

    def on_response(self, response: ResponseHeaders) -> bool:
        """Whether a response with this head is one to try again for."""
        terms, status = self.terms, response.status
        if b"x-envoy-ratelimited" in response:
            return "envoy-ratelimited" in terms
        if status >= 500:
            if "5xx" in terms:
                return True
            if status in _GATEWAY_ERRORS and "gateway-error" in terms:
                return True
        elif status == 409 and "retriable-4xx" in terms:
            return True
        if status in self._statuses and "retriable-status-codes" in terms:
            return True
        if "retriable-headers" in terms and any(test(response) for test in self._headers):
            return True
        # A gRPC status in the head: a response of trailers only.
        return self._grpc and _GRPC_TERMS.get(response.get(b"grpc-status", b"")) in terms

    def on_reset(self, reset: Reset, request_started: bool) -> bool:
        """Whether to try again after a reset; `request_started`: some of the request had been sent upstream."""
        terms = self.terms
        if reset is Reset.OVERFLOW:
            return False
        if reset is Reset.CONNECT_FAILURE and "connect-failure" in terms:
            return True
        if not request_started and "reset-before-request" in terms:
            return True
        if "reset" in terms or not terms.isdisjoint(_ANY_RESET):
            return True
        return reset is Reset.REFUSED_STREAM and "refused-stream" in terms


def should_retry(
    rules: RetryRules,
    retries_done: int,
    *,
    response: ResponseHeaders | None = None,
    reset: Reset | None = None,
    request_started: bool = True,
) -> bool:
    """Whether what happened is a reason to retry, and a retry is left; give `response` or `reset`.

    The caller tells "no retry left" (URX) from "no reason" by asking `rules.on_response` or `on_reset` itself.
    """
    if retries_done >= rules.policy.num_retries:
        return False
    if response is not None:
        return rules.on_response(response)
    return reset is not None and rules.on_reset(reset, request_started)


def backoff_ms(policy: RetryPolicy, retries_done: int, random: float) -> float:
    """How long to wait before the next retry: full jitter over the base, doubled per retry done, up to the maximum."""
    ceiling = policy.base_interval_ms * (1 << min(retries_done, 31))
    return random * min(ceiling, policy.max_interval_ms)


def excluded_priorities(policy: RetryPolicy, tried: Sequence[int], known: Sequence[int]) -> frozenset[int]:
    """Priorities that the next attempt leaves out (envoy.retry_priorities.previous_priorities).

    `tried` are the priorities of the attempts so far in order, `known` all there are. They are looked at anew every
    `previous_priorities_every` attempts; when all were tried, all count again.
    """
    every = policy.previous_priorities_every
    if every is None:
        return frozenset()
    looked_at = tried[: len(tried) // every * every]
    excluded: set[int] = set()
    for priority in looked_at:
        excluded.add(priority)
        if excluded.issuperset(known):
            excluded.clear()
    return frozenset(excluded)
