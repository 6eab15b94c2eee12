from typing import Any

from sidecar.agent.apply import Appliers
from sidecar.config.clusters import Cluster
from sidecar.config.endpoints import Endpoints
from sidecar.config.listeners import Listener
from sidecar.config.routes import RouteConfiguration


class Managers:
    """Stands in for all three managers; writes down what it is told."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.broken: set[str] = set()

    def update_clusters(self, updated: dict[str, Cluster], removed: Any = frozenset()) -> None:
        if self.broken & updated.keys():
            raise OSError("no such certificate")
        self.log += [f"+{name}" for name in updated] + [f"-{name}" for name in sorted(removed)]

    def update_endpoints(self, endpoints: Endpoints) -> None:
        self.log.append(f"endpoints {endpoints.cluster_name}")

    def update(self, first: Any, removed: Any = frozenset()) -> dict[str, str]:
        self.log.append(f"update {first.name if isinstance(first, RouteConfiguration) else sorted(first)}")
        return {"busy": "in use"} if "busy" in getattr(first, "keys", set)() else {}

    def remove(self, name: str) -> None:
        self.log.append(f"-{name}")


def appliers() -> tuple[Appliers, Managers]:
    managers = Managers()
    return Appliers(managers, managers, managers), managers  # type: ignore[arg-type]


def test_one_cluster_that_fails_does_not_keep_the_others_from_use() -> None:
    apply, managers = appliers()
    managers.broken = {"b"}
    clusters = {name: Cluster(name=name, type="static") for name in ("a", "b", "c")}
    assert apply.clusters(clusters, {"z"}) == {"b": "no such certificate"}
    assert managers.log == ["+a", "+c", "-z"], "additions before removals"


def test_endpoints_routes_and_listeners() -> None:
    apply, managers = appliers()
    assert apply.endpoints({"a": Endpoints(cluster_name="a")}) == {}
    assert apply.routes({"9080": RouteConfiguration(name="9080")}, {"old"}) == {}
    listener = Listener(name="busy", addresses=(("127.0.0.1", 1),))
    assert apply.listeners({"busy": listener}, set()) == {"busy": "in use"}
    assert managers.log == ["endpoints a", "-old", "update 9080", "update ['busy']"]
