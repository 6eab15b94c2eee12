"""Retries at run time: what the pure rules say, and the circuit breaker's limit."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from sidecar.codec.headers import ResponseHeaders
from sidecar.config.routes import RetryPolicy
from sidecar.router.retry import Reset, RetryRules, backoff_ms
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


def rules_of(policy: RetryPolicy) -> RetryRules:
    """The policy made ready to ask; made once."""
    found = _RULES.get(id(policy))
    if found is None or found.policy is not policy:
        if len(_RULES) >= _MAX_RULES:
            _RULES.clear()
        found = _RULES[id(policy)] = RetryRules(policy)
    return found


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
    stats = stream.cluster.stats
    if not reason or not rules.applies(stream.request):
        if stream.tried is not None:
            stats.rq_retry_success.value += 1  # as Envoy: an earlier retry led to something that needs no further one
        return None
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
