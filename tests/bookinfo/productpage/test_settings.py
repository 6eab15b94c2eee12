"""The product page's settings."""

import pytest

from bookinfo.common.settings import InvalidSetting
from bookinfo.productpage.settings import Settings


def test_defaults_are_bookinfos():
    settings = Settings.from_env({})
    assert settings == Settings()
    assert (settings.timeout_s, settings.flood_factor) == (3.0, 0)


def test_flood_factor_is_bounded():
    assert Settings.from_env({"FLOOD_FACTOR": "100"}).flood_factor == 100
    with pytest.raises(InvalidSetting, match="FLOOD_FACTOR"):
        Settings.from_env({"FLOOD_FACTOR": "1000000"})
