import pytest

from controlplane.apiserver.errors import ApiError
from controlplane.debug.routes import DEFAULT_WAIT_S, LONGEST_WAIT_S, parse_wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("500ms", 0.5),
        ("2m", 120),
        ("3", 3),
        ("1.5s", 1.5),
        ("", DEFAULT_WAIT_S),
        ("99999m", LONGEST_WAIT_S),
    ],
)
def test_durations(text, seconds):
    assert parse_wait(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1s", "1h", "s"])
def test_what_is_no_duration_is_said(text):
    with pytest.raises(ApiError, match="not a duration"):
        parse_wait(text)
