"""The child's command line and environment, and errors that say what to do."""

from __future__ import annotations

import pytest

from loadtests.load.launch import LibraryMissing, child_environment, headless_argv, require_libraries, web_argv
from loadtests.load.settings import Settings


def test_a_missing_library_is_named_with_its_cure() -> None:
    with pytest.raises(
        LibraryMissing, match=r"no_such_library is not installed.*pip install 'lugsail\[load,picture\]'"
    ):
        require_libraries("json", "no_such_library")


def test_the_child_knows_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://elsewhere:1")
    environment = child_environment(Settings(run_id="ab"))
    assert "http_proxy" not in environment
    assert environment["LUGSAIL_LOAD_RUN_ID"] == "ab"


def test_a_schedule_ends_by_itself_and_time_is_only_a_bound() -> None:
    with_rate = headless_argv(Settings(rate_per_s=10, duration_s=30))
    assert int(with_rate[with_rate.index("--run-time") + 1].rstrip("s")) > 40
    without = headless_argv(Settings(duration_s=30))
    assert without[without.index("--run-time") + 1] == "30s"
    assert "--run-time" not in headless_argv(Settings(duration_s=30, shape="spike"))


def test_the_page_is_for_this_machine_alone() -> None:
    argv = web_argv(Settings())
    assert argv[argv.index("--web-host") + 1] == "127.0.0.1"
    assert "--headless" not in argv
