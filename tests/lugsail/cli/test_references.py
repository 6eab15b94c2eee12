"""Subsets that no rule names are told; whatever resolves is not."""

from __future__ import annotations

from typing import Any

import pytest

from lugsail.cli.references import missing_subsets


def service(host: str, *subsets: str, namespace: str = "default") -> dict[str, Any]:
    route = [{"destination": {"host": host, "subset": subset}} for subset in subsets]
    return {"metadata": {"name": "reviews", "namespace": namespace}, "spec": {"http": [{"route": route}]}}


def rule(host: str, *subsets: str, namespace: str = "default") -> dict[str, Any]:
    spec = {"host": host, "subsets": [{"name": subset} for subset in subsets]}
    return {"metadata": {"name": "rule", "namespace": namespace}, "spec": spec}


def test_missing_subsets_are_told_once_a_host() -> None:
    assert missing_subsets([service("reviews", "v1", "v2", "v2")], [rule("reviews", "v1")]) == [
        "VirtualService default/reviews: no DestinationRule has the subset v2 of reviews: "
        "its requests there are answered 503 until one is applied"
    ]
    assert "the subsets v1, v2 of reviews" in missing_subsets([service("reviews", "v1", "v2")], [])[0]


@pytest.mark.parametrize(
    "given",
    [
        rule("reviews", "v1"),
        rule("reviews.default.svc.cluster.local", "v1", namespace="other"),
        rule("*.default.svc.cluster.local", "v1"),
    ],
    ids=["short", "full", "wildcard"],
)
def test_a_rule_of_the_host_has_it(given: dict[str, Any]) -> None:
    assert missing_subsets([service("reviews", "v1")], [given]) == []
    assert missing_subsets([service("reviews.default.svc.cluster.local", "v1")], [given]) == []


def test_a_short_name_is_of_its_own_namespace() -> None:
    assert missing_subsets([service("reviews", "v1", namespace="a")], [rule("reviews", "v1", namespace="b")])


def test_mirrors_count_and_routes_without_a_subset_do_not() -> None:
    mirror = {"route": [{"destination": {"host": "a"}}], "mirror": {"host": "a", "subset": "v9"}}
    resource = {"metadata": {"name": "a"}, "spec": {"http": [mirror, {"redirect": {"uri": "/"}}]}}
    assert len(missing_subsets([resource], [])) == 1
