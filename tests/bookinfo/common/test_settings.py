"""Settings from the environment."""

import pytest

from bookinfo.common.settings import InvalidSetting, integer, is_not_off, is_on, port, service_url


def test_service_url_defaults_to_the_short_name_and_9080():
    assert service_url({}, "details") == "http://details:9080"


def test_service_url_takes_host_port_and_domain():
    env = {"REVIEWS_HOSTNAME": "other", "REVIEWS_SERVICE_PORT": "81", "SERVICES_DOMAIN": "shop.example"}
    assert service_url(env, "reviews") == "http://other.shop.example:81"


@pytest.mark.parametrize(("value", "on"), [("true", True), ("True", True), ("false", False), ("1", False), ("", False)])
def test_switch(value, on):
    assert is_on({"X": value}, "X") is on


@pytest.mark.parametrize(("value", "on"), [("true", True), ("", True), ("False", False)])
def test_a_switch_that_is_on_by_itself(value, on):
    assert is_not_off({"X": value}, "X") is on
    assert is_not_off({}, "X") is True


def test_a_switch_that_says_neither_is_named():
    with pytest.raises(InvalidSetting, match=r"X='no': want true or false"):
        is_not_off({"X": "no"}, "X")


@pytest.mark.parametrize("value", ["x", "-1", "65536", "80.0"])
def test_a_wrong_port_is_named(value):
    with pytest.raises(InvalidSetting, match="PORT=") as error:
        port({"PORT": value}, "PORT")
    assert value in str(error.value)
    assert "65535" in str(error.value)


def test_empty_is_the_default():
    assert integer({"N": " "}, "N", 7, 0, 9) == 7
