"""Every sample is valid, fits the topology it is for, and is explained in its folder's README."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lugsail.api.documents import parse_documents
from lugsail.api.load import load_resource
from lugsail.api.mesh_config import load_mesh_config

ROOT = Path(__file__).parents[1]
MESH_CONFIGS = sorted((ROOT / "samples").rglob("mesh-config*.yaml"))
FILES = sorted(set((ROOT / "samples").rglob("*.yaml")) - set(MESH_CONFIGS))
NAMES = [str(path.relative_to(ROOT / "samples")) for path in FILES]
TOPOLOGY = yaml.safe_load((ROOT / "compose/app.yaml").read_text())["services"]
#: Versions that tutorials bring along: not in the default topology.
GUESTS = {("details", "v2"), ("ratings", "v2"), ("ratings", "v2-mysql-vm")}


def documents(path: Path) -> list[dict[str, Any]]:
    return [document.data for document in parse_documents(path.read_text(), str(path))]


def destinations(value: Any) -> Iterator[dict[str, Any]]:
    """Every `destination` and `mirror` in a resource."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("destination", "mirror"):
                yield inner
            else:
                yield from destinations(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from destinations(inner)


def in_topology(service: str) -> set[str]:
    """The versions of a service that the lab runs."""
    labels = (workload["labels"] for workload in TOPOLOGY.values())
    return {label["version"] for label in labels if label.get("lugsail.io/service") == service}


def test_there_are_samples():
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_sample_loads(path):
    loaded = [load_resource(data) for data in documents(path)]
    assert loaded
    assert len({resource.key for resource in loaded}) == len(loaded)


@pytest.mark.parametrize("path", MESH_CONFIGS, ids=lambda path: path.name)
def test_a_mesh_config_has_an_effect_in_all_it_says(path):
    assert load_mesh_config(path.read_text(), str(path)).warnings == ()


@pytest.mark.parametrize("path", [*FILES, *MESH_CONFIGS], ids=lambda path: path.name)
def test_a_sample_says_what_it_is_for(path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name in ("bookinfo", "httpbin")], ids=str)
def test_destinations_are_services_and_subsets_that_exist(path):
    rules = documents(path.parent / f"destination-rule-{'all' if path.parent.name == 'bookinfo' else 'httpbin'}.yaml")
    subsets = {(rule["spec"]["host"], subset["name"]) for rule in rules for subset in rule["spec"]["subsets"]}
    for destination in (found for data in documents(path) for found in destinations(data)):
        host, subset = destination["host"], destination.get("subset")
        assert in_topology(host) or "." in host, f"{host} is no service"
        assert subset is None or (host, subset) in subsets, f"destination-rule-all.yaml has no {host} {subset}"


@pytest.mark.parametrize("path", [path for path in FILES if path.name.startswith("destination-rule-")], ids=str)
def test_subsets_are_versions_that_run_or_are_known_guests(path):
    for data in documents(path):
        host = data["spec"]["host"]
        for subset in data["spec"]["subsets"]:
            version = subset["labels"]["version"]
            assert version in in_topology(host) or (host, version) in GUESTS


@pytest.mark.parametrize("folder", ["bookinfo", "httpbin", "egress", "tcp-echo", "telemetry"])
def test_the_readme_has_a_row_for_each_file(folder):
    text = (ROOT / "samples" / folder / "README.md").read_text()
    rows = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert rows == {path.name for path in (*FILES, *MESH_CONFIGS) if path.parent.name == folder}
