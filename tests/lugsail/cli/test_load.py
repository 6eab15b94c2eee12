"""`lugsail load` without a mesh: wrong usage, and that there is none."""

from __future__ import annotations

import pytest

from tests.lugsail.cli.conftest import Cli


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--assert", "p99<300"], "p99 needs a unit here"),
        (["--assert", "split reviews v1=90%"], "add up to 90 %"),
        (["--rate", "0"], "--rate 0: must be over 0"),
        (["--rate", "-5"], "--rate -5: must be over 0"),
        (["--users", "0"], "--users 0: from 1 to 1000"),
        (["--time", "soon"], "'soon' is no duration"),
        (["--scenario", "chaos"], "--scenario chaos: choose browse, api, split, mixed"),
        (["--shape", "round"], "--shape round: choose steady, steps, spike"),
        (["--url", "localhost"], "expected http://HOST:PORT"),
        (["--url", "http://x:port"], "--url http://x:port"),
        (["-o", "toml"], "there is no such output"),
        (["--wait", "long"], "'long' is no duration"),
    ],
)
def test_wrong_usage_is_64_and_says_what_is_wrong(cli: Cli, argv: list[str], says: str) -> None:
    done = cli("load", *argv)
    assert done.code == 64, done
    assert says in done.err


def test_a_wrong_assertion_is_pointed_at(cli: Cli) -> None:
    assert cli("load", "--assert", "p99<300").err.splitlines()[1:] == ["  p99<300", "         ^"]


def test_without_a_mesh(cli: Cli) -> None:
    done = cli("load")
    assert done.code == 1
    assert "lugsail up" in done.err
