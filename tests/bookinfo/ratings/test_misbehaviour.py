"""When the misbehaving versions of ratings fail."""

import pytest

from bookinfo.ratings.misbehaviour import DELAY_S, Misbehaviour, Verdict


@pytest.mark.parametrize("version", ["", "v1", "v2"])
def test_the_usual_versions_behave(version):
    assert Misbehaviour(version).verdict(1e6, 0.0) == Verdict()
    assert Misbehaviour(version).healthy(1e6)


def test_faulty_fails_half_the_time():
    faulty = Misbehaviour("v-faulty")
    assert [faulty.verdict(0, chance).available for chance in (0.0, 0.49, 0.5, 0.99)] == [False, False, True, True]


def test_delayed_waits_half_the_time():
    delayed = Misbehaviour("v-delayed")
    assert [delayed.verdict(0, chance).delay_s for chance in (0.49, 0.5)] == [DELAY_S, 0.0]


def test_unavailable_changes_every_minute_and_stays_healthy():
    version = Misbehaviour("v-unavailable")
    assert [version.verdict(at, 0.5).available for at in (0, 59.9, 60, 119.9, 120)] == [True, True, False, False, True]
    assert version.healthy(60)


def test_unhealthy_changes_every_quarter_of_an_hour():
    version = Misbehaviour("v-unhealthy")
    assert [version.healthy(at) for at in (0, 899, 900, 1799, 1800)] == [True, True, False, False, True]
    assert not version.verdict(900, 0.5).available
