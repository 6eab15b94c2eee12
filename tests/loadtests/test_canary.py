"""The canary's steps are judged by the seconds that lie within them."""

from __future__ import annotations

from typing import Any

from loadtests.canary import STEPS, Step, judge, text_of
from loadtests.load.background import between


def second(number: int, v1: int, v3: int, failures: int = 0) -> dict[str, Any]:
    split = {version: count for version, count in (("v1", v1), ("v3", v3)) if count}
    return {"second": number, "rps": v1 + v3, "failures": failures, "p99_ms": 10.0 + number, "split": split}


def series() -> list[dict[str, Any]]:
    # Seconds 5 and 11 are those in which the steps change.
    shares = [(90, 10)] * 5 + [(70, 30)] + [(50, 50)] * 5 + [(20, 80)] + [(0, 100)] * 5
    return [second(number, *each) for number, each in enumerate(shares)]


def steps() -> list[Step]:
    return [Step(STEPS[0], 0.2, 5), Step(STEPS[1], 5.9, 11), Step(STEPS[2], 11.5, 17)]


def test_only_whole_seconds_count() -> None:
    seen = between(series(), 5.9, 11)
    assert (seen["seconds"], seen["requests"], seen["split"]) == (5, 500, {"v1": 250, "v3": 250})
    assert seen["worst_p99_ms"] == 20.0
    assert between(series(), 0.2, 5)["requests"] == 400
    assert between([], 0, 9) == {"seconds": 0, "requests": 0, "failures": 0, "worst_p99_ms": None, "split": {}}


def test_a_good_canary() -> None:
    judged = judge({"series": series()}, steps())
    assert [step["ok"] for step in judged] == [True, True, True]
    text = text_of({"steps": judged, "totals": {"sent": 1700, "failures": 0}})
    assert "v1 50 % v3 50 %" in text
    assert text.count("as announced") == 3
    assert "NOT" not in text


def test_a_step_that_is_not_as_announced() -> None:
    wrong = [Step(STEPS[2], 0.2, 5), *steps()[1:]]
    judged = judge({"series": series()}, wrong)
    assert [step["ok"] for step in judged] == [False, True, True]


def test_a_failed_request_spoils_its_step() -> None:
    spoiled = series()
    spoiled[7]["failures"] = 1
    assert [step["ok"] for step in judge({"series": spoiled}, steps())] == [True, False, True]


def test_a_step_without_requests_is_no_success() -> None:
    assert not any(step["ok"] for step in judge({"series": []}, steps()))
