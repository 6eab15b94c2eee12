from __future__ import annotations

import pytest

from lugsail.lab.containers.events import describe, is_ours


@pytest.mark.parametrize(
    ("action", "attributes", "expected"),
    [
        ("die", {"exitCode": "137"}, "a was killed"),
        ("die", {"exitCode": "3"}, "a ended with exit code 3"),
        ("die", {"exitCode": "0", "lugsail.io/role": "init"}, None),
        ("die", {"exitCode": "1", "lugsail.io/role": "init"}, "a ended with exit code 1"),
        ("start", {}, "a started"),
        ("start", {"lugsail.io/role": "init"}, None),
        ("oom", {}, "a ran out of memory"),
        ("pause", {}, "a was paused"),
        ("unpause", {}, "a was unpaused"),
        ("health_status: healthy", {}, None),
        ("exec_start: x", {}, None),
    ],
)
def test_events_in_words(action: str, attributes: dict[str, str], expected: str | None) -> None:
    told = describe(action, {"name": "a", **attributes}, set())
    assert (told["text"] if told else None) == expected


def test_only_a_recovery_is_told() -> None:
    sick: set[str] = set()
    for action, expected in (("unhealthy", "a is unhealthy"), ("healthy", "a is healthy again"), ("healthy", None)):
        told = describe(f"health_status: {action}", {"name": "a"}, sick)
        assert (told["text"] if told else None) == expected


def test_whose_events_count() -> None:
    assert is_ours({"com.docker.compose.project": "mine"}, "mine")
    assert not is_ours({"com.docker.compose.project": "other"}, "mine")
    assert is_ours({"lugsail.io/injected-by": "x"}, "mine")
    assert not is_ours({}, "mine")
