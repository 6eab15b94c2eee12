import pytest

from lugsail.request_id import as_sent

SENT = "3aeea5af-ed3d-437b-9c91-c24d47e22b94"


@pytest.mark.parametrize("digit", "49ab")
def test_every_form_of_one_id_is_the_same(digit: str) -> None:
    assert as_sent(SENT[:14] + digit + SENT[15:]) == SENT


@pytest.mark.parametrize("other", ["", "abc", SENT[:-1], SENT + "0", SENT[:14] + "1" + SENT[15:], "9" * 36])
def test_other_ids_are_left_alone(other: str) -> None:
    assert as_sent(other) == other
