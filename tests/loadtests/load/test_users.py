"""locust's users against a stand-in of Bookinfo: each request once, counted exactly, judged by its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from loadtests.load.launch import LoadRun
from loadtests.load.settings import Settings
from tests.loadtests.load.stand_in import StandIn

pytestmark = pytest.mark.e2e

Drive = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
async def drive(stand_in: StandIn) -> AsyncIterator[Drive]:
    """Runs the load on the stand-in; the results."""
    async with TestServer(stand_in.app(), host="127.0.0.1") as server:

        async def run(**settings: Any) -> dict[str, Any]:
            chosen = replace(
                Settings(url=f"http://127.0.0.1:{server.port}", rate_per_s=100, duration_s=1, run_id="abcd", seed=1),
                **settings,
            )
            with LoadRun(chosen) as load:
                return await asyncio.to_thread(load.follow)

        yield run


async def test_an_open_load_sends_its_schedule_exactly(drive: Drive, stand_in: StandIn) -> None:
    result = await drive(scenario="mixed")
    totals = result["totals"]
    assert (totals["sent"], totals["answered"], totals["unsent"]) == (100, 100, 0)
    assert totals["failures"] == 0, totals["failure_kinds"]
    assert totals["rps"] == 100
    assert stand_in.total == 100
    assert {name: part["sent"] for name, part in result["names"].items()} == dict(stand_in.paths)
    assert len(set(stand_in.request_ids)) == 100
    assert stand_in.agents == {"lugsail-load/abcd"}
    assert sum(second["rps"] for second in result["series"]) == 100
    assert result["config"]["seed"] == 1


async def test_users_that_think_are_counted_exactly_too(drive: Drive, stand_in: StandIn) -> None:
    result = await drive(rate_per_s=0, users=8, duration_s=2, think_low_s=0.0, think_high_s=0.02)
    assert result["totals"]["sent"] == result["totals"]["answered"] == stand_in.total > 50
    assert result["totals"]["failures"] == 0


async def test_a_user_that_browses_keeps_its_session(drive: Drive, stand_in: StandIn) -> None:
    result = await drive(scenario="browse", user_name="jason", users=2)
    assert result["totals"]["failures"] == 0, result["totals"]["failure_kinds"]
    assert {"/login", "/productpage", "/static/style.css", "/static/book.svg", "/logout"} == set(stand_in.paths)


async def test_versions_are_told_apart(drive: Drive, stand_in: StandIn) -> None:
    stand_in.versions = ("v1", "v1", "v1", "v3")
    split = (await drive(scenario="split"))["split"]["reviews"]
    assert {version: one["count"] for version, one in split["versions"].items()} == {"v1": 75, "v3": 25}
    assert split["versions"]["v3"]["low"] < 0.25 < split["versions"]["v3"]["high"]


@pytest.mark.parametrize(
    ("fault", "scenario", "name", "kind"),
    [
        ("reviews", "split", "/productpage", "Error fetching product reviews"),
        ("ratings", "split", "/productpage", "Ratings service is currently unavailable"),
        ("ratings", "api", "/api/v1/products/0/reviews", "Ratings service is currently unavailable"),
        ("503", "split", "/productpage", "status 503"),
        ("no cookie", "browse", "/login", "not signed in"),
    ],
)
async def test_failures_in_bodies_count(
    drive: Drive, stand_in: StandIn, fault: str, scenario: str, name: str, kind: str
) -> None:
    stand_in.fault = fault
    part = (await drive(scenario=scenario, rate_per_s=40))["names"][name]
    assert part["failures"] == part["sent"] == part["answered"] > 0
    assert part["failure_kinds"] == {kind: part["sent"]}


async def test_a_dropped_connection_is_a_failure_and_never_sent_again(drive: Drive, stand_in: StandIn) -> None:
    stand_in.fault = "drop"
    totals = (await drive(scenario="split", rate_per_s=30))["totals"]
    assert (totals["sent"], totals["answered"], totals["unanswered"], totals["failures"]) == (30, 0, 30, 30)
    assert totals["failure_kinds"] == {"no answer: connection closed before the answer": 30}
    assert stand_in.total == 30
    assert len(set(stand_in.request_ids)) == 30


async def test_latencies_count_from_when_a_request_was_due(drive: Drive, stand_in: StandIn) -> None:
    stand_in.delay_s = 0.1
    result = await drive(scenario="split", rate_per_s=20, users=1, duration_s=1)
    # One user makes 10 a second at most: the last one of the 20 is sent about a second late.
    assert result["totals"]["max_start_lag_ms"] > 700
    assert result["totals"]["latency_ms"]["max"] > 800
    assert result["totals"]["latency_ms"]["p50"] > 300


async def test_a_run_that_is_stopped_has_its_result(stand_in: StandIn) -> None:
    async with TestServer(stand_in.app(), host="127.0.0.1") as server:
        settings = Settings(url=f"http://127.0.0.1:{server.port}", rate_per_s=100, duration_s=60, run_id="abcd")
        with LoadRun(settings) as load:
            result = await asyncio.to_thread(load.follow, lambda second: load.stop())
    totals = result["totals"]
    assert result["interrupted"]
    assert totals["sent"] == totals["answered"] == stand_in.total > 50
    assert totals["unsent"] == 6000 - totals["sent"]
    assert totals["failures"] == 0
