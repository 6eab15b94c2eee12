"""Which tests may run beside which: the end-to-end tests run in two workers (pytest-xdist), by groups.

The shared labs of containers are one group (they are many containers each); whatever else starts containers is another;
what uses one lab of processes is one group; every other module is its own.
"""

from __future__ import annotations

import pytest

CONTAINERS = ("tests/e2e/containers/", "tests/controlplane/injector/", "tests/controlplane/sources/")


def group_of(item: pytest.Item) -> str:
    """The name of the group that a test runs in."""
    path = item.nodeid.partition("::")[0]
    parameters = getattr(item, "callspec", None)
    lab = parameters.params.get("shared_lab") if parameters is not None else None
    if str(lab).startswith("docker"):
        return "docker"
    if path.startswith(CONTAINERS):
        return "containers"
    return f"lab-{lab}" if lab is not None else path


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
