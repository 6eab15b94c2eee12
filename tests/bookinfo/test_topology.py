"""compose/app.yaml says of each workload what the mesh needs, and names programs that exist."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose/app.yaml").read_text())["services"]


# Those that always run, and those of each profile.
WORKLOADS = {
    None: {"productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3", "curl"},
    "httpbin": {"httpbin-v1", "httpbin-v2"},
    "tcp-echo": {"tcp-echo-v1", "tcp-echo-v2"},
    "mysql": {"mysqldb-v1", "ratings-v2-mysql"},
    "plain-client": {"plain-client"},
    "load": {"load"},
}
CLIENTS = ("curl", "plain-client")


def test_the_workloads():
    found = {}
    for name, service in SERVICES.items():
        (profile,) = service.get("profiles", [None])
        found.setdefault(profile, set()).add(name)
    assert found == WORKLOADS


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client(name):
    service = SERVICES[name]
    assert {"app", "version"} <= set(service["labels"])
    assert "command" not in service
    assert "lugsail.io/ports" not in service["labels"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(CLIENTS) - WORKLOADS["load"]))
def test_a_workload(name):
    service = SERVICES[name]
    labels = service["labels"]
    assert {"app", "version", "lugsail.io/service-account"} <= set(labels)
    assert name == f"{labels['app']}-{labels['version']}"
    assert service["networks"]["default"]["aliases"] == [labels["lugsail.io/service"]]
    ports = [port.split(":")[1] for port in labels["lugsail.io/ports"].split(",")]
    assert ports == service["expose"]
    assert ports[0] in " ".join(service["healthcheck"]["test"])
    assert not {"BIND_ADDRESS", "PORT"} & set(service["environment"])
    if name != "mysqldb-v1":  # which is what its image runs
        assert service["command"][:2] == ["python", "-m"]
        assert importlib.util.find_spec(f"{service['command'][2]}.__main__")
