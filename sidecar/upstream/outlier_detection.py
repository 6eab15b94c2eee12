"""Outlier detection: leaving out hosts that fail, for longer each time they fail again (Envoy's outlier_detection).

Pure: time and randomness are arguments. A host that is ejected has `ejected` set and its health refreshed; the caller
then tells the load balancer. Each method that may change health answers whether it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

from sidecar.config.clusters import OutlierDetection
from sidecar.upstream.host import Host

_GATEWAY_ERRORS = frozenset((502, 503, 504))

CONSECUTIVE_5XX = "consecutive_5xx"
CONSECUTIVE_GATEWAY_FAILURE = "consecutive_gateway_failure"
CONSECUTIVE_LOCAL_ORIGIN_FAILURE = "consecutive_local_origin_failure"
SUCCESS_RATE = "success_rate"
FAILURE_PERCENTAGE = "failure_percentage"
REASONS = (
    CONSECUTIVE_5XX,
    CONSECUTIVE_GATEWAY_FAILURE,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    SUCCESS_RATE,
    FAILURE_PERCENTAGE,
)


class HostRecord:
    """What the detector keeps of a host (in `Host.outlier`). `multiplier` times the base is how long it stays out."""

    __slots__ = ("consecutive_5xx", "ejected_at_ms", "gateway", "jitter_ms", "local", "multiplier", "success", "total")

    def __init__(self) -> None:
        self.consecutive_5xx = 0
        self.gateway = 0
        self.local = 0
        self.total = 0
        self.success = 0
        self.multiplier = 0
        self.ejected_at_ms = 0.0
        self.jitter_ms = 0.0


class OutlierDetector:
    """The detector of one cluster. `detected` and `enforced` count by reason, `overflow` what the maximum forbade."""

    __slots__ = ("_random", "active", "config", "detected", "enforced", "hosts", "overflow")

    def __init__(self, config: OutlierDetection, random: Callable[[], float]) -> None:
        self.config = config
        self._random = random
        self.hosts: Sequence[Host] = ()
        #: How many hosts are ejected now.
        self.active = 0
        self.detected = dict.fromkeys(REASONS, 0)
        self.enforced = dict.fromkeys(REASONS, 0)
        self.overflow = 0

    def update(self, hosts: Sequence[Host]) -> None:
        """Take the hosts there are; those that stay keep their records."""
        self.hosts = hosts
        for host in hosts:
            if host.outlier is None:
                host.outlier = HostRecord()
        self.active = sum(host.ejected for host in hosts)

    def on_status(self, host: Host, status: int, now_ms: float) -> bool:
        """A response came with this status, or the request failed in a way that stands for one (timeout: 504)."""
        record: HostRecord | None = host.outlier
        if record is None:
            return False
        record.total += 1
        if status < 500:
            record.success += 1
            record.consecutive_5xx = record.gateway = 0
            return False
        config, changed = self.config, False
        if status in _GATEWAY_ERRORS:
            record.gateway += 1
            if record.gateway == config.consecutive_gateway_failure:
                record.gateway = 0
                enforcing = config.enforcing_consecutive_gateway_failure
                changed = self._eject(host, CONSECUTIVE_GATEWAY_FAILURE, enforcing, now_ms)
        else:
            record.gateway = 0
        record.consecutive_5xx += 1
        if record.consecutive_5xx == config.consecutive_5xx:
            record.consecutive_5xx = 0
            changed |= self._eject(host, CONSECUTIVE_5XX, config.enforcing_consecutive_5xx, now_ms)
        return changed

    def on_local_failure(self, host: Host, now_ms: float, status: int = 503) -> bool:
        """No response for a reason on this side: no connection (503), or a timeout (504)."""
        if not self.config.split_local_origin_errors:
            return self.on_status(host, status, now_ms)
        record: HostRecord | None = host.outlier
        if record is None:
            return False
        record.local += 1
        if record.local != self.config.consecutive_local_origin_failure:
            return False
        record.local = 0
        enforcing = self.config.enforcing_consecutive_local_origin_failure
        return self._eject(host, CONSECUTIVE_LOCAL_ORIGIN_FAILURE, enforcing, now_ms)

    def on_connected(self, host: Host) -> None:
        """A connection was made; only of interest where local errors are told from others."""
        record: HostRecord | None = host.outlier
        if record is not None and self.config.split_local_origin_errors:
            record.local = 0

    def tick(self, now_ms: float) -> bool:
        """Every `interval_ms`: let hosts back in whose time is over, then look at the success rates."""
        changed = False
        config = self.config
        for host in self.hosts:
            record: HostRecord = host.outlier
            if not host.ejected:
                if record.multiplier:
                    record.multiplier -= 1
                continue
            stays_ms = min(record.multiplier * config.base_ejection_ms, config.max_ejection_ms) + record.jitter_ms
            if now_ms - record.ejected_at_ms >= stays_ms:
                host.ejected = False
                host.refresh_health()
                record.consecutive_5xx = record.gateway = record.local = 0
                self.active -= 1
                changed = True
        changed |= self._judge_rates(now_ms)
        for host in self.hosts:
            host.outlier.total = host.outlier.success = 0
        return changed

    def _judge_rates(self, now_ms: float) -> bool:
        config = self.config
        rated = [
            (host, host.outlier.success / host.outlier.total, host.outlier.total)
            for host in self.hosts
            if not host.ejected and host.outlier.total
        ]
        changed = False
        by_rate = [(host, rate) for host, rate, total in rated if total >= config.success_rate_request_volume]
        if by_rate and len(by_rate) >= config.success_rate_minimum_hosts:
            mean = sum(rate for _, rate in by_rate) / len(by_rate)
            deviation = sqrt(sum((rate - mean) ** 2 for _, rate in by_rate) / len(by_rate))
            threshold = mean - config.success_rate_stdev_factor * deviation
            for host, rate in by_rate:
                if rate < threshold:
                    changed |= self._eject(host, SUCCESS_RATE, config.enforcing_success_rate, now_ms)
        by_failure = [(h, rate) for h, rate, total in rated if total >= config.failure_percentage_request_volume]
        if by_failure and len(by_failure) >= config.failure_percentage_minimum_hosts:
            for host, rate in by_failure:
                if 1.0 - rate >= config.failure_percentage_threshold:
                    changed |= self._eject(host, FAILURE_PERCENTAGE, config.enforcing_failure_percentage, now_ms)
        return changed

    def _eject(self, host: Host, reason: str, enforcing: float, now_ms: float) -> bool:
        if host.ejected:
            return False
        self.detected[reason] += 1
        config = self.config
        share = (self.active + 1) / max(len(self.hosts), 1)
        if share > config.max_ejection_fraction and not (config.always_eject_one and self.active == 0):
            self.overflow += 1
            return False
        if enforcing < 1.0 and self._random() >= enforcing:
            return False
        record: HostRecord = host.outlier
        self.enforced[reason] += 1
        self.active += 1
        record.ejected_at_ms = now_ms
        record.jitter_ms = self._random() * config.max_ejection_jitter_ms if config.max_ejection_jitter_ms else 0.0
        if record.multiplier * config.base_ejection_ms < config.max_ejection_ms + config.base_ejection_ms:
            record.multiplier += 1
        host.ejected = True
        host.refresh_health()
        return True
