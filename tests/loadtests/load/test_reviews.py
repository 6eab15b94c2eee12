"""What the canary applies is valid, and says what it should."""

from __future__ import annotations

import yaml

from loadtests.load import reviews


def test_a_split() -> None:
    resource = yaml.safe_load(reviews.virtual_service({"v1": 90, "v3": 10}))
    routes = resource["spec"]["http"][0]["route"]
    assert [(one["destination"]["subset"], one["weight"]) for one in routes] == [("v1", 90), ("v3", 10)]


def test_a_share_of_nothing_is_left_out() -> None:
    resource = yaml.safe_load(reviews.virtual_service({"v1": 0, "v3": 100}))
    assert [one["destination"]["subset"] for one in resource["spec"]["http"][0]["route"]] == ["v3"]


def test_the_subsets_are_the_samples() -> None:
    names = [one["name"] for one in yaml.safe_load(reviews.subsets())["spec"]["subsets"]]
    assert names == ["v1", "v2", "v3"]
