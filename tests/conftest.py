"""Which tests may run beside which: the end-to-end tests run in two workers (pytest-xdist), by groups.

What uses the Docker engine is one group, since images and the engine are shared; what uses one lab is one group; every
other module is its own.
"""

from __future__ import annotations

import pytest

DOCKER = ("tests/e2e/containers/", "tests/e2e/test_cli_docker.py", "docker", "tests/controlplane/injector/")


def group_of(item: pytest.Item) -> str:
    """The name of the group that a test runs in."""
    path = item.nodeid.partition("::")[0]
    parameters = getattr(item, "callspec", None)
    lab = parameters.params.get("shared_lab") if parameters is not None else None
    if any(part in path for part in DOCKER) or str(lab).startswith("docker"):
        return "docker"
    return f"lab-{lab}" if lab is not None else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
