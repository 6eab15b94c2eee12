"""envoy.filters.http.router: the last filter, which forwards."""

from typing import Any

from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from controlplane.translate.protos import any_of

NAME = "envoy.filters.http.router"


def http_filter() -> Any:
    """The router with Envoy's defaults."""
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=any_of(router_pb2.Router()))
