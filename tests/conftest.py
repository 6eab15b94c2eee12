"""Which tests may run beside which: the end-to-end tests run in two workers (pytest-xdist), by groups.

What starts containers is one group: two workers that build images and start meshes at once get into each other's way.
What uses one lab of processes is one group; every other module is its own.
"""

from __future__ import annotations

import pytest

CONTAINERS = ("tests/e2e/containers/", "tests/controlplane/injector/", "tests/controlplane/sources/")


def group_of(item: pytest.Item) -> str:
    """The name of the group that a test runs in."""
    path = item.nodeid.partition("::")[0]
    parameters = getattr(item, "callspec", None)
    lab = parameters.params.get("shared_lab") if parameters is not None else None
    if str(lab).startswith("docker") or path.startswith(CONTAINERS):
        return "docker"
    return f"lab-{lab}" if lab is not None else path


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
