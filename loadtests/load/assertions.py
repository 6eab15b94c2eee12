"""What a run must have been like: `p99<300ms`, `errors==0`, `split reviews v1=90% v3=10%`. Pure.

    METRIC[(NAME)] OP VALUE     p50 p90 p95 p99 p99.9 max mean (ms or s), errors (number or %), rps, requests
    split reviews VERSION=SHARE% … [±TOLERANCE%]

A split holds when each expected share lies within the exact 99.9 % interval of what was observed, or, with a tolerance,
when no observed share is further from it than that. A version that is not named must not have answered at all, and
hardly any answer may have been without a version.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from loadtests.load.intervals import holds, interval

SPLIT_CONFIDENCE = 0.999
LATENCIES = ("p50", "p90", "p95", "p99", "p99.9", "max", "mean")
# Pages whose reviews or ratings failed show no version; with more than this share of them a split says nothing.
UNKNOWN_LIMIT = 0.01
METRICS = (*LATENCIES, "errors", "rps", "requests")
SPLIT_SERVICES = ("reviews",)
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
MS_IN = {"ms": 1.0, "s": 1000.0}
LENGTH_LIMIT = 300


class BadAssertion(ValueError):
    """The text is no assertion; the message shows the place."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it held, and what was seen."""

    expression: str
    ok: bool
    observed: str


@dataclass(frozen=True, slots=True)
class MetricAssertion:
    """`value` in ms for latencies, else as it stands; `percent` says that errors are a share of the requests."""

    expression: str
    metric: str
    name: str | None
    op: str
    value: float
    percent: bool

    def judge(self, result: dict[str, Any]) -> Verdict:
        """By the results of a run."""
        if self.name is not None and self.name not in result["names"]:
            known = ", ".join(result["names"]) or "none at all"
            return Verdict(self.expression, False, f"no request is named {self.name}; there were: {known}")
        part = result["totals"] if self.name is None else result["names"][self.name]
        if not part["sent"] and self.metric not in ("requests", "rps"):
            return Verdict(self.expression, False, "there were no requests")
        value, shown = self._observed(part)
        return Verdict(self.expression, OPERATORS[self.op](value, self.value), shown)

    def _observed(self, part: dict[str, Any]) -> tuple[float, str]:
        if self.metric in LATENCIES:
            value = float(part["latency_ms"][self.metric])
            return value, f"{self.metric} was {value:g} ms"
        if self.metric == "rps":
            return float(part["rps"]), f"{part['rps']:g} requests per second"
        if self.metric == "requests":
            return float(part["sent"]), f"{part['sent']} requests"
        share = 100 * part["failures"] / part["sent"]
        kinds = "; ".join(f"{count} × {kind}" for kind, count in list(part["failure_kinds"].items())[:3])
        shown = f"{part['failures']} of {part['sent']} failed ({share:.3g} %)" + (f": {kinds}" if kinds else "")
        return (share if self.percent else float(part["failures"])), shown


@dataclass(frozen=True, slots=True)
class SplitAssertion:
    """`shares` by version, adding up to 1; `tolerance` is a share, or None for the interval's test."""

    expression: str
    service: str
    shares: tuple[tuple[str, float], ...]
    tolerance: float | None

    def judge(self, result: dict[str, Any]) -> Verdict:
        """By the results of a run."""
        split = result["split"][self.service]
        counts = {version: one["count"] for version, one in split["versions"].items()}
        total = split["total"]
        if not total:
            return Verdict(self.expression, False, f"no answer showed a version of {self.service}")
        expected = dict(self.shares)
        wrong = [version for version, count in counts.items() if count and version not in expected]
        for version, share in self.shares:
            count = counts.get(version, 0)
            if self.tolerance is not None:
                fits = abs(count / total - share) <= self.tolerance + 1e-12
            else:
                fits = holds(count, total, share, SPLIT_CONFIDENCE)
            if not fits:
                wrong.append(version)
        unknown = split["unknown"]
        blurred = unknown > UNKNOWN_LIMIT * (total + unknown)
        seen = ", ".join(_shown(version, counts.get(version, 0), total) for version in sorted({*counts, *expected}))
        why = f"; not as expected: {', '.join(sorted(wrong))}" if wrong else ""
        if unknown:
            why += f"; {unknown} more showed no version" + (", too many to tell" if blurred else "")
        return Verdict(self.expression, not wrong and not blurred, f"of {total} answers {seen}{why}")


Assertion = MetricAssertion | SplitAssertion


def _shown(version: str, count: int, total: int) -> str:
    low, high = interval(count, total, SPLIT_CONFIDENCE)
    return f"{version} {100 * count / total:.1f} % ({100 * low:.1f}–{100 * high:.1f} at 99.9 %)"


def parse(text: str) -> Assertion:
    """The assertion that the text says; raises BadAssertion."""
    if len(text) > LENGTH_LIMIT:
        raise BadAssertion(f"--assert: over {LENGTH_LIMIT} characters")
    return _Reader(text).assertion()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def assertion(self) -> Assertion:
        self._blanks()
        if re.match(r"split\b", self._text[self._at :]):
            return self._split()
        return self._metric()

    def _metric(self) -> MetricAssertion:
        start = self._at
        metric = self._take(r"p99\.9|[a-z]+\d*", f"expected one of {', '.join(METRICS)}, or split")
        if metric not in METRICS:
            self._fail(f"there is no metric {metric}; choose {', '.join(METRICS)}, or split", start)
        name = self._name()
        op = self._take(r"<=|>=|==|!=|<|>", "expected a comparison: < <= > >= == !=")
        value = self._number()
        start = self._at
        unit = self._optional(r"[a-zA-Z]+|%")
        self._end()
        percent = unit == "%"
        if metric in LATENCIES:
            if unit not in MS_IN:
                self._fail(f"{metric} needs a unit here: ms or s, as in {metric}{op}{value:g}ms", start)
            value *= MS_IN[unit]
        elif unit and not (percent and metric == "errors"):
            hint = "a plain number or a share in %" if metric == "errors" else "a plain number"
            self._fail(f"{metric} takes {hint}, not {unit}", start)
        return MetricAssertion(self._text.strip(), metric, name, op, value, percent)

    def _name(self) -> str | None:
        if self._optional(r"\(") is None:
            return None
        name = self._take(r"[^()]+", "expected the name of requests, such as /productpage").strip()
        self._take(r"\)", "expected ) after the name of requests")
        return name

    def _split(self) -> SplitAssertion:
        self._take("split", "")
        start = self._at
        service = self._take(r"[A-Za-z][\w.-]*", "expected a service, as in split reviews v1=90% v3=10%")
        if service not in SPLIT_SERVICES:
            self._fail(
                f"the split of {service} cannot be told from answers; only of {', '.join(SPLIT_SERVICES)}", start
            )
        shares: dict[str, float] = {}
        tolerance = None
        while self._at < len(self._text):
            if self._optional(r"±|\+-|\+/-") is not None:
                tolerance = self._percent("the tolerance")
                self._end()
                break
            start = self._at
            version = self._take(r"[A-Za-z][\w-]*", "expected VERSION=SHARE%, or ±TOLERANCE% at the end")
            if version in shares:
                self._fail(f"{version} is named twice", start)
            self._take("=", f"expected = after {version}")
            shares[version] = self._percent(f"the share of {version}")
        if not shares:
            self._fail("expected VERSION=SHARE%, as in v1=90%")
        total = sum(shares.values())
        if abs(total - 1) > 0.0005:
            self._fail(f"the shares add up to {100 * total:g} %, not to 100 %", 0)
        return SplitAssertion(self._text.strip(), service, tuple(shares.items()), tolerance)

    def _percent(self, what: str) -> float:
        start = self._at
        value = self._number()
        self._take("%", f"expected % after {value:g}: {what} is in per cent")
        if value > 100:
            self._fail(f"{what} is over 100 %", start)
        return value / 100

    def _number(self) -> float:
        return float(self._take(r"\d+(\.\d+)?|\.\d+", "expected a number"))

    def _take(self, pattern: str, problem: str) -> str:
        found = self._optional(pattern)
        if found is None:
            self._fail(problem)
        return found

    def _optional(self, pattern: str) -> str | None:
        found = re.compile(pattern).match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        self._blanks()
        return found[0]

    def _blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _end(self) -> None:
        if self._at < len(self._text):
            self._fail("nothing more was expected here")

    def _fail(self, problem: str, at: int | None = None) -> NoReturn:
        place = self._at if at is None else at
        raise BadAssertion(f"--assert: {problem}\n  {self._text}\n  {' ' * place}^")
