"""compose/app.yaml unchanged, with the mesh from compose/automatic.yaml: scaled up and down under load."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.e2e.conftest import PROJECT_PREFIX
from tests.e2e.containers.faults import Containers
from tests.e2e.inside import Inside
from tests.e2e.lab import REPO, InsideClient, eventually, request
from tests.e2e.steady import Get, Steady

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

PROJECT = f"{PROJECT_PREFIX}-automatic"
GATEWAY, API = 18071, 18072
PORTS = {
    "LUGSAIL_APP_PORT": "18073",
    "LUGSAIL_GATEWAY_PORT": str(GATEWAY),
    "LUGSAIL_GATEWAY_TLS_PORT": "18074",
    "LUGSAIL_GATEWAY_TCP_PORT": "18075",
    "LUGSAIL_API_PORT": str(API),
    "LUGSAIL_MONITORING_PORT": "18076",
}
REVIEWS = "http://reviews:9080/reviews/0"


def compose(*words: str) -> None:
    files = ["-f", str(REPO / "compose" / "app.yaml"), "-f", str(REPO / "compose" / "automatic.yaml")]
    done = subprocess.run(
        ["docker", "compose", "-p", PROJECT, *files, *words],
        env={**os.environ, **PORTS}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def mesh(images: None) -> Iterator[Containers]:
    containers = Containers(PROJECT)
    try:
        compose("up", "-d")
        eventually(lambda: request("127.0.0.1", GATEWAY, "GET", "/productpage").status == 200, 90, "the first page")
        eventually(lambda: reviews() == 3, 60, "all reviews have their sidecars")
        yield containers
    finally:
        compose("down", "--remove-orphans", "-v", "-t", "3")
        left = containers.client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"com.docker.compose.project={PROJECT}"}
        )
        assert left == []
        containers.close()


def reviews() -> int:
    """How many endpoints of reviews there are for the mesh."""
    found = json.loads(request("127.0.0.1", API, "GET", "/debug/endpointz").body)
    return sum(len(one["endpoints"]) for one in found if one["service"].startswith("reviews."))


def load(containers: Containers) -> Callable[[], AbstractContextManager[Get]]:
    inside = Inside(containers.find("curl").name)

    @contextmanager
    def client() -> Iterator[Get]:
        one = InsideClient(inside)
        yield lambda: one.get(REVIEWS)

    return client


def test_scaled_up_and_down_under_load(mesh: Containers) -> None:
    eventually(lambda: mesh.client.containers.get(f"{PROJECT}-curl-1-proxy").status == "running", 60, "curl's sidecar")
    client = load(mesh)

    def serves() -> bool:
        with client() as get:
            return get().status == 200

    eventually(serves, 30, "reviews from the curl container")
    with Steady(client, 40, 4) as steady:
        compose("up", "-d", "--no-recreate", "--scale", "reviews-v1=3")
        eventually(lambda: reviews() == 5, 60, "two more endpoints, each with its sidecar")
        steady.go_on(1)
        compose("up", "-d", "--no-recreate", "--scale", "reviews-v1=1")
        eventually(lambda: reviews() == 3, 30, "they are gone")
        steady.go_on(1)
    print(f"CHAOS scaled to 3 and back: {steady.summary()}")
    assert steady.failures() == [], steady.summary()
    eventually(lambda: len(injected(mesh)) == 7, 30, "the sidecars of the two are gone")


def injected(mesh: Containers) -> list[str]:
    """The sidecars that the control plane made."""
    labels = [f"com.docker.compose.project={PROJECT}", "lugsail.io/role=proxy"]
    return [one.name for one in mesh.client.containers.list(ignore_removed=True, filters={"label": labels})]
