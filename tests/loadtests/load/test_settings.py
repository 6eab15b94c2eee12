"""Options of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.load.settings import BadSetting, Settings, check, duration_s, users_for


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("2h", 7200), ("500ms", 0.5), ("12", 12)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "3x", "-3s", "3s later", "1s 2s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadSetting, match="no duration"):
        duration_s(text)


def test_the_environment_says_the_same() -> None:
    settings = Settings(url="http://x:1", users=3, rate_per_s=2.5, scenario="api", shape="spike", seed=7, run_id="ab")
    assert Settings.from_environment(settings.environment()) == settings


def test_nonsense_in_the_environment_is_named() -> None:
    with pytest.raises(BadSetting, match="LUGSAIL_LOAD_USERS=many"):
        Settings.from_environment({"LUGSAIL_LOAD_USERS": "many"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scenario": "x"}, "--scenario x: choose browse"),
        ({"shape": "x"}, "--shape x: choose steady"),
        ({"users": 0}, "--users 0: from 1 to"),
        ({"users": 5000}, "--users 5000"),
        ({"rate_per_s": 1e9}, "--rate"),
        ({"rate_per_s": float("nan")}, "--rate"),
        ({"duration_s": 0}, "--time"),
        ({"url": "localhost:80"}, "expected http://HOST:PORT"),
        ({"user_name": "x" * 65}, "--user-name"),
        ({"user_name": "a\r\nb"}, "--user-name"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        check(replace(Settings(), **change))  # type: ignore[arg-type]


def test_users_for_a_rate() -> None:
    assert [users_for(rate) for rate in (0, 5, 100, 1e6)] == [10, 10, 25, 1000]
