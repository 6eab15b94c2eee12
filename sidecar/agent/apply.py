"""Puts compiled resources to use: the xDS client's four callbacks on the managers of the data path."""

from __future__ import annotations

from sidecar.config.clusters import Cluster
from sidecar.config.endpoints import Endpoints
from sidecar.config.listeners import Listener
from sidecar.config.routes import RouteConfiguration
from sidecar.http.route_tables import RouteTables
from sidecar.listener.manager import ListenerManager
from sidecar.upstream.cluster_manager import ClusterManager

Errors = dict[str, str]


class Appliers:
    """Each method answers {name: what is wrong}; one resource that fails does not keep the others from use."""

    def __init__(self, clusters: ClusterManager, routes: RouteTables, listeners: ListenerManager) -> None:
        self._clusters = clusters
        self._routes = routes
        self._listeners = listeners

    def clusters(self, changed: dict[str, Cluster], removed: set[str]) -> Errors:
        errors: Errors = {}
        for name, cluster in changed.items():
            try:
                self._clusters.update_clusters({name: cluster})
            except (OSError, ValueError) as error:  # a certificate that can not be read, say
                errors[name] = str(error)
        self._clusters.update_clusters({}, removed)
        return errors

    def endpoints(self, changed: dict[str, Endpoints]) -> Errors:
        for endpoints in changed.values():
            self._clusters.update_endpoints(endpoints)
        return {}

    def listeners(self, changed: dict[str, Listener], removed: set[str]) -> Errors:
        return self._listeners.update(changed, removed)

    def routes(self, changed: dict[str, RouteConfiguration], removed: set[str]) -> Errors:
        for name in removed:
            self._routes.remove(name)
        for configuration in changed.values():
            self._routes.update(configuration)
        return {}
