"""Rounds that measured something else are refused, and rows have their base's ratio."""

import pytest

from loadtests.datapath import BadRun
from loadtests.telemetry_cost.measure import check, summary_of
from loadtests.telemetry_cost.states import Case

TRACED = Case("envoy", "traced-1")
TOLD = {"log_bytes": 300.0, "spans": 0.01, "records": 1.0}


def test_a_round_as_it_should_be():
    check(TRACED, TOLD)
    check(Case("python", "log"), {"log_bytes": 300.0, "spans": 0.0, "records": 0.0})


@pytest.mark.parametrize(
    ("case", "other"),
    [
        (TRACED, {"log_bytes": 0.0}),
        (TRACED, {"spans": 0.001}),
        (TRACED, {"records": 0.1}),
        (Case("envoy", "metrics"), {}),  # spans, and should have none
        (Case("envoy", "traced-1", passed_on=True), {}),  # spans, though the trace is unsampled
        (Case("python", "traced-1"), {}),  # records, which only an Envoy sends
    ],
)
def test_a_round_that_measured_something_else(case, other):
    with pytest.raises(BadRun, match=case.key):
        check(case, {**TOLD, **other})


def test_a_row_compares_with_the_base_that_ran_beside_it():
    def one(cpu_us):
        return {"cpu_us": cpu_us, "requests_per_s": 1.0}

    rounds = [{TRACED.key: {"base": one(before), "case": one(after)}} for before, after in ((10.0, 11.0), (20.0, 24.0))]
    row = summary_of(TRACED, rounds)
    assert (row["base_cpu_us"], row["cpu_us"]) == (15.0, 17.5)
    assert row["cpu_ratio"] == {"median": 1.15, "min": 1.1, "max": 1.2}
