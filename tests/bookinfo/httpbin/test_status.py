"""The statuses of /status."""

import pytest

from bookinfo.httpbin.status import parse_choices, pick, reason


def test_choices():
    assert parse_choices("200") == [(200, 1.0)]
    assert parse_choices("200:9,503") == [(200, 9.0), (503, 1.0)]


@pytest.mark.parametrize(
    "text", ["", "x", "199", "600", "200,", "200:x", "200:0", "200:nan", "200:inf", "²00", ",".join(["200"] * 65)]
)
def test_wrong_choices(text):
    with pytest.raises(ValueError):
        parse_choices(text)


def test_pick_by_weight():
    choices = [(200, 3.0), (503, 1.0)]
    assert [pick(choices, chance) for chance in (0.0, 0.74, 0.75, 0.999)] == [200, 200, 503, 503]


def test_reason():
    assert (reason(404), reason(555)) == ("Not Found", "")
