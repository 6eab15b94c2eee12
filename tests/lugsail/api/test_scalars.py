import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lugsail.api.base import ApiModel
from lugsail.api.scalars import Bool, Double, Duration, Int32, UInt32, parse_duration


class Numbers(ApiModel):
    port: UInt32 = 0
    weight: Int32 = 0
    share: Double = 0.0
    is_on: Bool = False
    timeout: Duration | None = None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("0.5s", 0.5),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("1h30m5s", 5405.0),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("7ns", 7e-9),
        ("-1.5s", -1.5),
        ("+2m", 120.0),
    ],
)
def test_durations_are_go_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", ".s", "1d", "1 s", "5S", "1s ", "--1s", "1e3s", "٣s", "9999999h"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_milliseconds_survive(count_ms: int) -> None:
    assert parse_duration(f"{count_ms}ms") == pytest.approx(count_ms / 1000)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError:
        pass


def test_numbers_may_be_written_as_text_or_whole_floats() -> None:
    numbers = Numbers.model_validate({"port": "9080", "weight": 10.0, "share": "12.5"})
    assert (numbers.port, numbers.weight, numbers.share) == (9080, 10, 12.5)
    assert Numbers.model_validate({"share": 3}).share == 3.0


@pytest.mark.parametrize(
    "data",
    [
        {"port": True},
        {"port": -1},
        {"port": 2**32},
        {"port": 1.5},
        {"port": "0x50"},
        {"port": " 80"},
        {"weight": 2**31},
        {"weight": "9" * 5000},
        {"share": True},
        {"share": "half"},
        {"share": float("inf")},
        {"is_on": "true"},
        {"is_on": 1},
        {"timeout": 5},
        {"timeout": "5"},
    ],
)
def test_numbers_and_booleans_are_not_guessed(data: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Numbers.model_validate(data)


def test_a_duration_stays_as_written() -> None:
    assert Numbers.model_validate({"timeout": "60000ms"}).to_dict() == {"timeout": "60000ms"}
