"""Circuit breaking: whether a cluster's thresholds let one more connection, request or retry through.

The counts are the caller's (its gauges), so nothing is counted twice.
"""

from __future__ import annotations

from sidecar.config.clusters import CircuitBreakers, Thresholds


def thresholds_for(breakers: CircuitBreakers, priority: int) -> Thresholds:
    """The thresholds of a routing priority: 0 default, 1 high."""
    return breakers.high if priority else breakers.default


def allows_connection(limits: Thresholds, open_connections: int, host_connections: int) -> bool:
    """Whether another connection may be opened. A host without any may always have one, so that no host starves."""
    return open_connections < limits.max_connections or host_connections == 0


def allows_pending(limits: Thresholds, pending: int) -> bool:
    """Whether one more request may wait for a connection."""
    return pending < limits.max_pending_requests


def allows_request(limits: Thresholds, active: int) -> bool:
    """Whether one more request may be under way."""
    return active < limits.max_requests


def allows_retry(limits: Thresholds, retries: int, active: int, pending: int) -> bool:
    """Whether one more retry may be under way; with a retry budget the limit follows the requests there are."""
    if limits.retry_budget is None:
        return retries < limits.max_retries
    share, minimum = limits.retry_budget
    return retries < max(int(share * (active + pending)), minimum)
