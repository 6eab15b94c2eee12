"""Reading the distribution of a change."""

import pytest

from loadtests.push import ALTERNATING, PushFailed, acknowledged, documents

DONE = {"done": True, "pending": []}


def line(state, ms=1.5):
    return {"proxy": f"p-{state}", "state": state, "ms": ms}


def test_the_acks_count_and_the_unaffected_do_not():
    assert acknowledged([{"revision": 1, "proxies": []}, line("ACKED", 3.0), line("UNAFFECTED"), DONE]) == [3.0]


@pytest.mark.parametrize("state", ["NACKED", "PENDING", "DISCONNECTED"])
def test_anything_else_fails_the_run(state):
    with pytest.raises(PushFailed, match=state):
        acknowledged([line("ACKED"), line(state), DONE])


@pytest.mark.parametrize("lines", [[], [DONE], [line("UNAFFECTED"), DONE], [line("ACKED"), {"pending": ["p"]}]])
def test_a_run_that_proves_nothing_fails(lines):
    with pytest.raises(PushFailed):
        acknowledged(lines)


def test_the_changes_are_of_one_resource_and_differ():
    first, second = (documents(path)[0] for path in ALTERNATING)
    assert first["metadata"] == second["metadata"]
    assert first["spec"] != second["spec"]
