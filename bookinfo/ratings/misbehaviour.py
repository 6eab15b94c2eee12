"""The ways in which versions of the ratings service misbehave, for tasks about retries, timeouts and ejection. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

FAULTY_SHARE = 0.5
DELAY_S = 7.0
# How long a version stays in one state before it changes to the other.
UNAVAILABLE_PERIOD_S = 60.0
UNHEALTHY_PERIOD_S = 15 * 60.0


class Verdict(NamedTuple):
    """What happens to one request: first the delay, then an answer or a 503."""

    available: bool = True
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """By SERVICE_VERSION: `v-faulty`, `v-delayed`, `v-unavailable`, `v-unhealthy`; any other behaves well."""

    version: str

    def verdict(self, uptime_s: float, chance: float) -> Verdict:
        """What to do with a request that comes `uptime_s` after the start; `chance` is uniform in [0, 1)."""
        match self.version:
            case "v-faulty":
                return Verdict(available=chance >= FAULTY_SHARE)
            case "v-delayed":
                return Verdict(delay_s=DELAY_S if chance < FAULTY_SHARE else 0.0)
            case "v-unavailable":
                return Verdict(available=_in_first_state(uptime_s, UNAVAILABLE_PERIOD_S))
            case "v-unhealthy":
                return Verdict(available=self.healthy(uptime_s))
            case _:
                return Verdict()

    def healthy(self, uptime_s: float) -> bool:
        """Whether the health check passes: only `v-unhealthy` ever fails it."""
        return self.version != "v-unhealthy" or _in_first_state(uptime_s, UNHEALTHY_PERIOD_S)


def _in_first_state(uptime_s: float, period_s: float) -> bool:
    """True in the first, third, fifth … period."""
    return int(uptime_s // period_s) % 2 == 0
