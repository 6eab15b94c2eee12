"""What a newcomer does: a clone, `docker compose up`, the first tasks, `docker compose down -v`; nothing is left."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Any

import docker
import pytest

from tests.e2e.lab import REPO, ContainerLab, eventually
from tests.e2e.test_tasks import stars
from tests.engine import engine_missing

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(420)]

PROJECT, PORT = "lugsail-from-nothing", 18079
PORTS = {
    "LUGSAIL_APP_PORT": "18080",
    "LUGSAIL_GATEWAY_PORT": str(PORT),
    "LUGSAIL_GATEWAY_TLS_PORT": "18081",
    "LUGSAIL_GATEWAY_TCP_PORT": "18082",
    "LUGSAIL_API_PORT": "18083",
    "LUGSAIL_MONITORING_PORT": "18084",
}
IMAGES = ("lugsail/base", "lugsail/apps", "lugsail/planes", "lugsail/python")


def test_a_clone_and_docker_compose_up(tmp_path: pathlib.Path) -> None:
    if reason := engine_missing():
        pytest.skip(reason)
    clone = tmp_path / "lugsail"
    run("git", "clone", "-q", "--no-hardlinks", str(REPO), str(clone))
    engine = docker.from_env()
    try:
        forget(engine)
        run("docker", "compose", "up", "-d", cwd=clone, timeout_s=300)
        lab = ContainerLab("python", PROJECT, PORT, tmp_path)
        eventually(lambda: lab.get("/productpage", timeout_s=5).status == 200, 60, "the first page")
        try_the_tasks(lab, clone)
        run("docker", "compose", "down", "-v", "-t", "3", cwd=clone)
        assert left(engine) == ([], [], [])
    finally:
        run("docker", "compose", "down", "-v", "--remove-orphans", "-t", "1", cwd=clone)
        engine.close()


def try_the_tasks(lab: ContainerLab, clone: pathlib.Path) -> None:
    """Routing by who is signed in, a fault for one user, shifted traffic: with the CLI of this environment."""
    samples = clone / "samples" / "bookinfo"
    apply(lab, samples / "destination-rule-all.yaml", samples / "virtual-service-all-v1.yaml")
    apply(lab, samples / "virtual-service-reviews-test-v2.yaml")
    jason, mary = lab.sign_in("jason"), lab.sign_in("mary")
    assert stars(jason("/productpage").body) == "black" and stars(mary("/productpage").body) == "none"
    apply(lab, samples / "virtual-service-ratings-test-abort.yaml")
    assert "Ratings service is currently unavailable" in jason("/productpage").body
    apply(lab, samples / "virtual-service-reviews-v3.yaml")
    assert {stars(mary("/productpage").body) for _ in range(5)} == {"red"}


def apply(lab: ContainerLab, *files: pathlib.Path) -> None:
    lab.cli("apply", *(word for file in files for word in ("-f", str(file))))


def forget(engine: Any) -> None:
    """As if they had never been built: their names are gone; the builder keeps its layers."""
    for image in IMAGES:
        if engine.images.list(name=image):
            engine.images.remove(image, force=True, noprune=True)


def left(engine: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """What of the project is still there: containers, volumes, networks."""
    of_project = {"label": f"com.docker.compose.project={PROJECT}"}
    return (
        engine.containers.list(all=True, ignore_removed=True, filters=of_project),
        engine.volumes.list(filters=of_project),
        engine.networks.list(filters=of_project),
    )


def run(*words: str, cwd: pathlib.Path | None = None, timeout_s: float = 60) -> None:
    env = {**os.environ, **PORTS, "COMPOSE_PROJECT_NAME": PROJECT}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
