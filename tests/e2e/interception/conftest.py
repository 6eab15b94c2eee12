"""One mesh of namespaces for each proxy, shared by the cases."""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import envoy_missing
from tests.e2e.interception.pods import Mesh, why_not

NUMBERS = {"python": 1, "envoy": 2}


@pytest.fixture(scope="session", params=["python", "envoy"])
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    proxy = request.param
    if reason := why_not() or (envoy_missing() if proxy == "envoy" else None):
        pytest.skip(reason)
    # Not pytest's own folder: users other than root have nothing to look for there.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lsag-"))
    folder.chmod(0o755)
    mesh = Mesh(NUMBERS[proxy], proxy, folder)
    try:
        mesh.start()
        mesh.add("client", 11, {"app": "client", "version": "v1"}, ["-o", "8443", "-x", f"{mesh.subnet}.240/32"])
        mesh.add("reviews-v1", 12, {"app": "reviews", "version": "v1"}, ["-d", "15090,15021,15020,9443"])
        mesh.add("reviews-v2", 13, {"app": "reviews", "version": "v2"}, [])
        mesh.add("plain", 14, {}, None)
        mesh.run_control_plane()
        for pod in mesh.pods.values():
            mesh.run_pod(pod)
        mesh.wait_ready()
        yield mesh
    finally:
        mesh.close()
        shutil.rmtree(folder)
