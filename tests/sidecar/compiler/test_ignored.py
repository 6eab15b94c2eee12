from __future__ import annotations

import importlib
import pkgutil

import envoy
import pytest
from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost
from google.protobuf.descriptor_pool import Default

from sidecar.compiler.ignored import IGNORED, IGNORED_HTTP_FILTERS, check
from sidecar.config.rejected import At, Rejected

_MODULES = (
    "envoy.config.route.v3.route_pb2",
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.http.grpc_stats.v3.config_pb2",
)


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    for module in _MODULES:
        importlib.import_module(module)
    assert pkgutil.resolve_name("envoy") is envoy


@pytest.mark.parametrize("message", sorted(IGNORED))
def test_every_row_names_a_field_that_exists_and_gives_a_reason(message: str) -> None:
    fields = Default().FindMessageTypeByName(message).fields_by_name
    for name, reason in IGNORED[message].items():
        assert name in fields
        assert len(reason) > 10


@pytest.mark.parametrize("message", sorted(IGNORED_HTTP_FILTERS))
def test_ignored_filters_exist(message: str) -> None:
    assert Default().FindMessageTypeByName(message).full_name == message


def test_check_lets_through_what_is_handled_or_ignored() -> None:
    route = Route(name="n", stat_prefix="o")
    check(route, ("name",), At("r"))
    with pytest.raises(Rejected, match="r: name: is not supported"):
        check(route, (), At("r"))
    with pytest.raises(Rejected, match="r: hedge_policy"):
        check(VirtualHost(hedge_policy={}), (), At("r"))
