"""Every case of the table on both proxies: first the answers, then, when the logs are written, their lines."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.oracle.cases.table import CASES
from tests.oracle.conftest import Outcomes
from tests.oracle.mesh import PROXIES, log_lines
from tests.oracle.play import own
from tests.oracle.table import SIDECAR, Case

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
#: Fields of an access-log line that must be the same.
LOGGED = (
    "request", "code", "flags", "details", "terminated", "failure", "received", "sent", "authority", "cluster", "sni",
    "route",
)  # fmt: skip


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@ALL
def test_same_answers(case: Case, outcomes: Outcomes) -> None:
    found = outcomes.of(case)
    ours, theirs = found["python"], found["envoy"]
    for part in ours:
        if part not in case.excused:
            assert ours[part] == theirs[part], difference(ours[part], theirs[part], part)


@ALL
def test_same_log(case: Case, outcomes: Outcomes) -> None:
    try:
        outcomes.of(case)
    except BaseException as error:  # told by test_same_answers
        pytest.skip(f"the case failed: {type(error).__name__}")
    lines = {proxy: written(outcomes, case, proxy) for proxy in PROXIES}
    for proxy in PROXIES:
        for position, one in enumerate(case.asks):
            logged = [f"{line['code']} {line['flags']} {line['details']}" for line in lines[proxy][position]]
            if one.log is not None:
                assert len(logged) == 1, (proxy, one.url, logged)
                assert logged[0].startswith(one.log), (proxy, one.url, logged)
    if case.asks and "log" not in case.excused:
        # What a gateway forwards names an address of the machine, and the echo of it counts as sent.
        fields = [name for name in LOGGED if name != "sent" or case.via == SIDECAR]
        ours, theirs = comparable(lines["python"], fields), comparable(lines["envoy"], fields)
        assert ours == theirs, difference(ours, theirs, "log")


def difference(ours: Any, theirs: Any, at: str) -> str:
    """The innermost places where the two differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in (ours | theirs) if ours.get(key) != theirs.get(key)]
        return "; ".join(difference(ours.get(key), theirs.get(key), f"{at}.{key}") for key in keys)
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) == len(theirs) and not at.endswith("headers"):
            pairs = enumerate(zip(ours, theirs, strict=True))
            return "; ".join(difference(a, b, f"{at}[{i}]") for i, (a, b) in pairs if a != b)
        here, there = [x for x in ours if x not in theirs], [x for x in theirs if x not in ours]
        return f"{at}: only python {here}, only envoy {there}"
    return f"{at}: python {ours!r}, envoy {theirs!r}"


def written(outcomes: Outcomes, case: Case, proxy: str) -> list[list[dict[str, str]]]:
    """The lines of each request of the case, once they are there: both proxies flush within a second."""
    player = outcomes.players[case.name][proxy]
    deadline = time.monotonic() + 2.5
    while True:
        by_agent = log_lines(outcomes.mesh.log(case.via, proxy))
        found = [by_agent.get(agent, []) for agent in player.agents]
        if not case.asks or all(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def comparable(lines: list[list[dict[str, str]]], fields: list[str]) -> list[list[dict[str, Any]]]:
    return [[{name: own(line[name]) for name in fields} for line in one] for one in lines]
