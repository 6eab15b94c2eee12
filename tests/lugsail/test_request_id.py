import pytest

from lugsail.request_id import as_sent, unchanged_part

SENT = "3aeea5af-ed3d-437b-9c91-c24d47e22b94"


@pytest.mark.parametrize("digit", "49ab17")
def test_every_form_of_one_id_is_the_same(digit: str) -> None:
    form = SENT[:14] + digit + SENT[15:]
    assert as_sent(form) == SENT
    assert form.endswith(unchanged_part(SENT)) and unchanged_part(form) == unchanged_part(SENT)


@pytest.mark.parametrize("other", ["", "abc", SENT[:-1], SENT + "0"])
def test_other_ids_are_left_alone(other: str) -> None:
    assert as_sent(other) == unchanged_part(other) == other
