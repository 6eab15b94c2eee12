"""The compose files that are shipped: up to date, valid for both Composes, and reachable from this machine alone."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from controlplane.injector.compose_text import inject_text

ROOT = Path(__file__).parents[2]
APP, MESH = ROOT / "compose/app.yaml", ROOT / "compose/bookinfo.yaml"
PROFILES = ("httpbin", "tcp-echo", "mysql", "plain-client", "egress-gateway", "load", "prometheus", "grafana")


def compose_v2() -> list[str] | None:
    if shutil.which("docker") is None:
        return None
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if found.returncode == 0 else None


COMMANDS = {
    "v2": compose_v2(),
    "1.29": ["docker-compose"] if shutil.which("docker-compose") else None,
}


def test_bookinfo_is_what_app_gives() -> None:
    made = inject_text(APP.read_text(), "compose/app.yaml")
    assert made.text == MESH.read_text(), "stale: lugsail inject compose/app.yaml -o compose/bookinfo.yaml"


@pytest.mark.parametrize("file", [APP, MESH], ids=lambda path: path.name)
def test_ports_are_published_on_loopback_alone(file: Path) -> None:
    for service in yaml.safe_load(file.read_text())["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("file", [APP, MESH], ids=lambda path: path.name)
def test_every_image_is_built_by_one_service_that_runs_when_it_is_used(file: Path) -> None:
    services = yaml.safe_load(file.read_text())["services"].values()
    builders = {service["image"]: service for service in services if "build" in service}
    assert len(builders) == sum("build" in service for service in services)
    for service in services:
        if not service["image"].startswith("lugsail/"):
            continue  # pulled
        builder = builders[service["image"]]
        assert set(builder.get("profiles", ())) <= set(service.get("profiles", ()))
        assert builder["build"]["target"] == builder["image"].removeprefix("lugsail/")


def test_profiles() -> None:
    services = yaml.safe_load(MESH.read_text())["services"].values()
    assert {profile for service in services for profile in service.get("profiles", ())} == set(PROFILES)


@pytest.mark.e2e
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("file", [APP, MESH], ids=lambda path: path.name)
def test_compose_takes_it(file: Path, command: list[str] | None) -> None:
    if command is None:
        pytest.skip("this Compose is not installed")
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    done = subprocess.run(
        [*command, *profiles, "-f", str(file), "config", "-q"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
