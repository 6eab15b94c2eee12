"""Where patches put things in a list."""

from typing import Any

import pytest
from envoy.config.listener.v3 import listener_components_pb2

from controlplane.translate.envoy_filter.lists import patch_list
from controlplane.translate.envoy_filter.select import Patch
from lugsail.api.envoy_filter import EnvoyConfigObjectPatch
from lugsail.api.envoy_filter import Patch as ApiPatch
from tests.controlplane.model.factory import mesh, resource

Filter = listener_components_pb2.Filter


def patch(operation: str, name: str = "new") -> Patch:
    made = resource("EnvoyFilter", "f", "{configPatches: [{applyTo: CLUSTER, patch: {operation: REMOVE}}]}")
    value = None if operation == "REMOVE" else {"name": name}
    spec = EnvoyConfigObjectPatch(apply_to="NETWORK_FILTER", patch=ApiPatch(operation=operation, value=value))  # type: ignore[arg-type]
    return Patch(mesh(made).configs[made.key], 0, spec)


def names(operation: str, anchor: str) -> list[str]:
    def anchored(_patch: Patch, item: Any) -> bool:
        return anchor in ("", item.name)

    items = [Filter(name="a"), Filter(name="b")]
    return [item.name for item in patch_list(items, [patch(operation)], Filter, anchored)]


@pytest.mark.parametrize(
    ("operation", "anchor", "expected"),
    [
        ("ADD", "", ["a", "b", "new"]),
        ("INSERT_FIRST", "", ["new", "a", "b"]),
        ("INSERT_BEFORE", "b", ["a", "new", "b"]),
        ("INSERT_AFTER", "a", ["a", "new", "b"]),
        ("INSERT_BEFORE", "", ["new", "a", "b"]),
        ("INSERT_AFTER", "", ["a", "b", "new"]),
        ("INSERT_BEFORE", "nowhere", ["a", "b"]),
        ("REMOVE", "a", ["b"]),
        ("REPLACE", "a", ["new", "b"]),
        ("MERGE", "a", ["new", "b"]),
    ],
)
def test_operations(operation: str, anchor: str, expected: list[str]) -> None:
    assert names(operation, anchor) == expected
