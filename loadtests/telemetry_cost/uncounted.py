"""The sidecar without Istio's metrics, for comparison alone: `python -m loadtests.telemetry_cost.uncounted …`.

It is `python -m sidecar` with listeners that know no recorders. The product has no such switch: nobody needs one.
"""

from __future__ import annotations

import sys
from typing import Any

import sidecar.main
from sidecar.listener.manager import ListenerManager


class Uncounted(ListenerManager):
    """Takes the recorders and tells them nothing."""

    def __init__(self, stats: Any, clusters: Any, routes: Any, logs: Any, *_recorders: Any, tracers: Any) -> None:
        super().__init__(stats, clusters, routes, logs, tracers=tracers)


def main(argv: list[str]) -> int:
    """As the sidecar's."""
    sidecar.main.ListenerManager = Uncounted  # type: ignore[misc]
    return sidecar.main.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
