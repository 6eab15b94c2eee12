"""compose/app.yaml says of each workload what the mesh needs, and names programs that exist."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose/app.yaml").read_text())["services"]


def test_the_workloads():
    assert set(SERVICES) == {
        "productpage-v1",
        "details-v1",
        "ratings-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
        "httpbin-v1",
        "httpbin-v2",
        "curl",
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_workload(name):
    service = SERVICES[name]
    labels = service["labels"]
    assert {"app", "version", "lugsail.io/service-account"} <= set(labels)
    if name == "curl":
        assert "command" not in service
        assert "lugsail.io/ports" not in labels
        return
    assert name == f"{labels['app']}-{labels['version']}"
    assert service["networks"]["default"]["aliases"] == [labels["lugsail.io/service"]]
    assert labels["lugsail.io/ports"] == f"http:{service['expose'][0]}"
    assert service["command"][:2] == ["python", "-m"]
    assert importlib.util.find_spec(f"{service['command'][2]}.__main__")
    assert not {"BIND_ADDRESS", "PORT"} & set(service["environment"])
