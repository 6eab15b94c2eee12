from __future__ import annotations

import pytest

from sidecar.config.clusters import CircuitBreakers, Thresholds
from sidecar.upstream.circuit_breaker import (
    allows_connection,
    allows_pending,
    allows_request,
    allows_retry,
    thresholds_for,
)

LIMITS = Thresholds(max_connections=2, max_pending_requests=1, max_requests=3, max_retries=1)


def test_limits_are_inclusive_counts() -> None:
    assert allows_connection(LIMITS, 1, 1)
    assert not allows_connection(LIMITS, 2, 1)
    assert allows_connection(LIMITS, 2, 0)  # a host without any
    assert allows_pending(LIMITS, 0)
    assert not allows_pending(LIMITS, 1)
    assert allows_request(LIMITS, 2)
    assert not allows_request(LIMITS, 3)
    assert allows_retry(LIMITS, 0, 100, 0)
    assert not allows_retry(LIMITS, 1, 100, 0)


@pytest.mark.parametrize(
    ("retries", "active", "pending", "allowed"),
    [(0, 0, 0, True), (2, 0, 0, True), (3, 10, 0, False), (3, 10, 10, True), (4, 20, 0, False)],
)
def test_a_budget_follows_the_requests(retries: int, active: int, pending: int, allowed: bool) -> None:
    assert allows_retry(Thresholds(max_retries=0, retry_budget=(0.2, 3)), retries, active, pending) is allowed


def test_priorities_have_limits_of_their_own() -> None:
    breakers = CircuitBreakers(default=LIMITS, high=Thresholds())
    assert thresholds_for(breakers, 0) is LIMITS
    assert thresholds_for(breakers, 1) is breakers.high
