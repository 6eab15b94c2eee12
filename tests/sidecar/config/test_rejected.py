from __future__ import annotations

import pytest

from sidecar.config.rejected import At, Rejected


def test_names_the_resource_the_path_and_the_reason() -> None:
    at = At("reviews").field("virtual_hosts", 2).field("typed_per_filter_config", "x.y")
    with pytest.raises(Rejected) as caught:
        at.reject("is wrong")
    assert caught.value.resource == "reviews"
    assert caught.value.path == "virtual_hosts[2].typed_per_filter_config[x.y]"
    assert str(caught.value) == "reviews: virtual_hosts[2].typed_per_filter_config[x.y]: is wrong"


def test_the_resource_itself_has_no_path() -> None:
    with pytest.raises(Rejected, match=r"^reviews: is wrong$"):
        At("reviews").reject("is wrong")
