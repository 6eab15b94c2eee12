"""Retries at run time: what the pure rules say, the circuit breaker's limit, and what the client asked for."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.routes import RetryPolicy
from sidecar.router.retry import Reset, RetryRules, backoff_ms, merge_request_headers
from sidecar.telemetry import response_flags as flag
from sidecar.upstream.connection import (
    CONNECT_FAILURE,
    CONNECT_TIMEOUT,
    CONNECTION_TERMINATION,
    LOCAL_RESET,
    OVERFLOW,
    PROTOCOL_ERROR,
)

if TYPE_CHECKING:
    from sidecar.router.router import RoutedStream

RESETS = {
    CONNECT_FAILURE: Reset.CONNECT_FAILURE,
    CONNECT_TIMEOUT: Reset.CONNECT_FAILURE,
    CONNECTION_TERMINATION: Reset.DISCONNECT,
    OVERFLOW: Reset.OVERFLOW,
    PROTOCOL_ERROR: Reset.PROTOCOL_ERROR,
    LOCAL_RESET: Reset.DISCONNECT,
}
_RULES: dict[int, RetryRules] = {}
_MAX_RULES = 4096

CLIENT_SETTINGS = (
    b"x-envoy-upstream-rq-timeout-ms",
    b"x-envoy-upstream-rq-per-try-timeout-ms",
    b"x-envoy-max-retries",
    b"x-envoy-retry-on",
    b"x-envoy-retry-grpc-on",
    b"x-envoy-retriable-status-codes",
    b"x-envoy-retriable-header-names",
    b"x-envoy-hedge-on-per-try-timeout",
    b"x-envoy-upstream-rq-timeout-alt-response",
    b"x-envoy-upstream-alt-stat-name",
)


def rules_of(policy: RetryPolicy) -> RetryRules:
    """The policy made ready to ask; made once."""
    found = _RULES.get(id(policy))
    if found is None or found.policy is not policy:
        if len(_RULES) >= _MAX_RULES:
            _RULES.clear()
        found = _RULES[id(policy)] = RetryRules(policy)
    return found


def take_client_settings(stream: RoutedStream, timeout_ms: float | None) -> float | None:
    """Honour and remove the x-envoy-… settings of an internal client; answers the timeout that holds then."""
    request = stream.request
    asked = _milliseconds(request, b"x-envoy-upstream-rq-timeout-ms")
    if asked is not None:
        timeout_ms = asked
    per_try = _milliseconds(request, b"x-envoy-upstream-rq-per-try-timeout-ms")
    if per_try is not None:
        stream.per_try_timeout_ms = per_try
    stream.retry_policy = merge_request_headers(stream.retry_policy, request)
    for name in CLIENT_SETTINGS:
        request.remove(name)
    return timeout_ms


def _milliseconds(request: RequestHeaders, name: bytes) -> float | None:
    value = request.get(name, b"")
    return float(value) if value.isdigit() and len(value) < 12 else None


def retry_delay_ms(
    stream: RoutedStream, response: ResponseHeaders | None, reset: Reset | None, request_started: bool = True
) -> float | None:
    """How long to wait before the next attempt; None where there is none. Sets URX when only the number forbids it."""
    policy = stream.retry_policy
    if policy is None or not stream.replayable:
        return None
    rules = rules_of(policy)
    if response is not None:
        reason = rules.on_response(response)
    else:
        reason = reset is not None and rules.on_reset(reset, request_started)
    if not reason or not rules.applies(stream.request):
        return None
    stats = stream.cluster.stats
    done = stream.info.attempt_count - 1
    if done >= policy.num_retries:
        stats.rq_retry_limit_exceeded.value += 1
        stream.info.response_flags |= flag.UPSTREAM_RETRY_LIMIT_EXCEEDED
        return None
    if not stream.cluster.may_retry():
        stats.rq_retry_overflow.value += 1
        stream.info.response_flags |= flag.UPSTREAM_OVERFLOW
        return None
    return backoff_ms(policy, done, random())
