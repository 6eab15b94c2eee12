"""The session cookie."""

import pytest

from bookinfo.productpage.session import USER_LIMIT, sign, usable_name, user_of


@pytest.mark.parametrize("user", ["jason", "Zoë", "a.b", "…"])
def test_round_trip(user):
    assert user_of(sign(user, "key"), "key") == user


@pytest.mark.parametrize("value", [None, "", ".", "amFzb24", "amFzb24.", "amFzb24.AAAA", "é.é", "jason." + "A" * 43])
def test_what_was_not_signed_names_nobody(value):
    assert user_of(value, "key") is None


def test_another_key_or_another_user_does_not_fit():
    cookie = sign("jason", "key")
    assert user_of(cookie, "other") is None
    assert user_of(sign("admin", "other").partition(".")[0] + "." + cookie.partition(".")[2], "key") is None


def test_usable_name():
    assert usable_name(" jason\r\nx-admin: 1 ") == "jasonx-admin: 1"
    assert len(usable_name("x" * 1000)) == USER_LIMIT
    assert usable_name("\r\n") == ""
