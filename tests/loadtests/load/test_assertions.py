"""Assertions: what they mean, what they say of a run, and where a wrong one is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.assertions import BadAssertion, MetricAssertion, SplitAssertion, parse
from loadtests.load.recorder import split_report


def part(sent: int = 1000, failures: int = 0, **latency: float) -> dict[str, Any]:
    values = {"p50": 10.0, "p90": 20.0, "p95": 30.0, "p99": 40.0, "p99.9": 50.0, "max": 60.0, "mean": 12.0} | latency
    return {
        "sent": sent,
        "failures": failures,
        "rps": sent / 10,
        "failure_kinds": {"status 503": failures} if failures else {},
        "latency_ms": values if sent else dict.fromkeys(values),
    }


def result(split: dict[str, int] | None = None, unknown: int = 0, **totals: Any) -> dict[str, Any]:
    names = {"/productpage": part(500, 0, p95=999.0)}
    return {"totals": part(**totals), "names": names, "split": {"reviews": split_report(split or {}, unknown)}}


@pytest.mark.parametrize(
    ("text", "metric", "name", "op", "value", "percent"),
    [
        ("p99<300ms", "p99", None, "<", 300, False),
        (" p99.9 <= 1.5s ", "p99.9", None, "<=", 1500, False),
        ("p95(/productpage)<1s", "p95", "/productpage", "<", 1000, False),
        ("errors==0", "errors", None, "==", 0, False),
        ("errors<1%", "errors", None, "<", 1, True),
        ("rps>=50", "rps", None, ">=", 50, False),
        ("requests != 7", "requests", None, "!=", 7, False),
        ("max ( /api/v1/products ) > .5 ms", "max", "/api/v1/products", ">", 0.5, False),
    ],
)
def test_metrics(text: str, metric: str, name: str | None, op: str, value: float, percent: bool) -> None:
    assert parse(text) == MetricAssertion(text.strip(), metric, name, op, value, percent)


@pytest.mark.parametrize("tolerance", ["±5%", "+-5%", "+/-5%", "± 5 %"])
def test_splits(tolerance: str) -> None:
    found = parse("split reviews v1=90% v3=10%")
    assert isinstance(found, SplitAssertion)
    assert dict(found.shares) == pytest.approx({"v1": 0.9, "v3": 0.1})
    assert found.tolerance is None
    within = parse(f"split reviews v1 = 90% v3=10 % {tolerance}")
    assert isinstance(within, SplitAssertion)
    assert within.tolerance == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 0, "expected one of p50"),
        ("p98<3ms", 0, "there is no metric p98"),
        ("p99<300", 7, "needs a unit"),
        ("p99<300m", 7, "needs a unit"),
        ("p99 300ms", 4, "expected a comparison"),
        ("p99=<300ms", 3, "expected a comparison"),
        ("p99<fast", 4, "expected a number"),
        ("p99<3ms please", 8, "nothing more"),
        ("p99(<3ms", 8, "expected )"),
        ("p99()<3ms", 4, "name of requests"),
        ("errors<1ms", 8, "a plain number or a share in %"),
        ("rps>50%", 6, "a plain number"),
        ("split", 5, "expected a service"),
        ("split ratings v1=100%", 6, "cannot be told"),
        ("split reviews", 13, "expected VERSION=SHARE%"),
        ("split reviews v1=90 v3=10%", 20, "expected % after 90"),
        ("split reviews v1=90% v3=20%", 0, "add up to 110 %"),
        ("split reviews v1=50% v1=50%", 21, "named twice"),
        ("split reviews v1:90%", 16, "expected ="),
        ("split reviews v1=200%", 17, "over 100 %"),
        ("split reviews v1=100% ±5", 24, "expected % after 5"),
        ("split reviews v1=100% ±5% v2=0%", 26, "nothing more"),
    ],
)
def test_mistakes_are_pointed_at(text: str, column: int, says: str) -> None:
    with pytest.raises(BadAssertion) as caught:
        parse(text)
    message, shown, pointer = str(caught.value).split("\n")
    assert says in message
    assert shown == f"  {text}"
    assert pointer == " " * (2 + column) + "^"


@given(st.text(max_size=400))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except BadAssertion as problem:
        assert str(problem).startswith("--assert: ")


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("p99<40ms", False),
        ("p99<=40ms", True),
        ("p95(/productpage)<1s", True),
        ("p95(/productpage)<999ms", False),
        ("errors==0", False),
        ("errors<1%", True),
        ("errors<0.5%", False),
        ("errors(/productpage)==0", True),
        ("requests==1000", True),
        ("rps>100", False),
        ("p99(/nothing)<1s", False),
    ],
)
def test_metrics_are_judged(text: str, ok: bool) -> None:
    assert parse(text).judge(result(failures=5)).ok is ok


def test_a_verdict_says_what_was_observed() -> None:
    assert "p99 was 40 ms" in parse("p99<1ms").judge(result()).observed
    assert parse("errors==0").judge(result(failures=5)).observed == "5 of 1000 failed (0.5 %): 5 × status 503"
    assert "/productpage" in parse("errors(/x)==0").judge(result()).observed


@pytest.mark.parametrize("text", ["errors==0", "p99<1s", "rps>=1", "split reviews v1=100%"])
def test_a_run_without_requests_passes_nothing(text: str) -> None:
    assert not parse(text).judge(result(sent=0)).ok


@pytest.mark.parametrize(
    ("split", "text", "ok"),
    [
        ({"v1": 900, "v3": 100}, "split reviews v1=90% v3=10%", True),
        ({"v1": 870, "v3": 130}, "split reviews v1=90% v3=10%", True),  # within the 99.9 % interval
        ({"v1": 850, "v3": 150}, "split reviews v1=90% v3=10%", False),
        ({"v1": 850, "v3": 150}, "split reviews v1=90% v3=10% ±5%", True),
        ({"v1": 849, "v3": 151}, "split reviews v1=90% v3=10% ±5%", False),
        ({"v1": 900, "v3": 100}, "split reviews v1=50% v3=50%", False),
        ({"v1": 900, "v2": 1, "v3": 100}, "split reviews v1=90% v3=10%", False),  # v2 is not named
        ({"v3": 1000}, "split reviews v3=100%", True),
        ({"v3": 1000}, "split reviews v1=0% v3=100%", True),
        ({"v1": 1, "v3": 999}, "split reviews v3=100%", False),
        ({}, "split reviews v3=100%", False),
    ],
)
def test_splits_are_judged(split: dict[str, int], text: str, ok: bool) -> None:
    verdict = parse(text).judge(result(split))
    assert verdict.ok is ok, verdict.observed


def test_a_split_of_answers_that_mostly_show_no_version_is_not_believed() -> None:
    verdict = parse("split reviews v1=100%").judge(result({"v1": 1000}, unknown=400))
    assert not verdict.ok
    assert "400 more showed no version" in verdict.observed
    assert parse("split reviews v1=100%").judge(result({"v1": 1000}, unknown=4)).ok
