"""Counts of a run: exact totals, percentiles, seconds, splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.histogram import Histogram
from loadtests.load.recorder import KINDS_LIMIT, NAMES_LIMIT, Recorder
from loadtests.summary import percentile


@given(st.lists(st.floats(0.01, 60_000), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_percentiles_are_right_to_half_a_per_cent(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert histogram.percentile(share) == pytest.approx(percentile(values, share), rel=0.0051)
    assert histogram.max_ms == max(values)
    assert histogram.summary()["mean"] == pytest.approx(sum(values) / len(values), abs=0.01)


def test_no_latencies() -> None:
    assert set(Histogram().summary().values()) == {None}
    with pytest.raises(ValueError, match="no latencies"):
        Histogram().percentile(0.5)


def test_every_request_is_counted_once() -> None:
    recorder = Recorder()
    for status, failure in ((200, None), (200, "not the product page"), (503, "status 503"), (0, "no answer: timeout")):
        recorder.begin("/productpage")
        recorder.finish("/productpage", status, 10.0, failure)
    recorder.begin("/login")
    recorder.finish("/login", 302, 5.0, None)
    totals = recorder.result(2.0, 0)["totals"]
    assert (totals["sent"], totals["answered"], totals["unanswered"], totals["failures"]) == (5, 4, 1, 3)
    assert totals["statuses"] == {"200": 2, "302": 1, "503": 1, "none": 1}
    assert totals["failure_kinds"] == {"not the product page": 1, "status 503": 1, "no answer: timeout": 1}
    assert totals["rps"] == 2.5


def test_seconds_hold_what_came_in_them() -> None:
    recorder = Recorder()
    recorder.finish("/x", 200, 10.0, None)
    recorder.saw_version("v1")
    first = recorder.tick(3)
    second = recorder.tick(4)
    assert (first["second"], first["rps"], first["users"], first["split"]) == (0, 1, 3, {"v1": 1})
    assert (second["second"], second["rps"], second["p99_ms"], second["split"]) == (1, 0, None, {})


def test_a_split_has_its_interval() -> None:
    recorder = Recorder()
    for version in ["v1"] * 5 + ["v3"] * 5 + [None]:
        recorder.saw_version(version)
    split = recorder.result(1.0, 0)["split"]["reviews"]
    assert (split["total"], split["unknown"], split["confidence"]) == (10, 1, 0.95)
    assert split["versions"]["v1"] == {"count": 5, "share": 0.5, "low": 0.187086, "high": 0.812914}


def test_names_and_kinds_are_bounded() -> None:
    recorder = Recorder()
    for number in range(NAMES_LIMIT * 2):
        recorder.begin(f"/{number}")
        recorder.finish(f"/{number}", 200, 1.0, f"kind {number}")
    result = recorder.result(1.0, 0)
    assert len(result["names"]) == NAMES_LIMIT + 1
    assert len(result["totals"]["failure_kinds"]) == KINDS_LIMIT + 1
    assert sum(result["totals"]["failure_kinds"].values()) == NAMES_LIMIT * 2
