from __future__ import annotations

import envoy.extensions.filters.http.grpc_stats.v3.config_pb2  # noqa: F401 - so that YAML may name its type
import pytest
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from sidecar.compiler.http_filters import FILTERS, compile_chain, layer_route_filters
from sidecar.config.rejected import At, Rejected
from sidecar.filters.base import DISABLED
from sidecar.filters.cors import CORS as CORS_KIND
from sidecar.filters.cors import CorsFilter, CorsSettings
from sidecar.filters.fault import FaultFilter
from tests.sidecar.compiler.protos import CORS, FAULT, ROUTER, STRANGER, proto

THE_ROUTER = f"{{name: r, typed_config: {{'@type': {ROUTER}}}}}"
GRPC_STATS = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"


def chain(*filters: str) -> HttpConnectionManager:
    return proto(HttpConnectionManager, f"{{http_filters: [{', '.join(filters)}]}}")


def one(kind: str, more: str = "", name: str = "f") -> str:
    return f"{{name: {name}, typed_config: {{'@type': {kind}}}{more}}}"


def test_filters_keep_their_order_and_names_and_the_router_ends_them() -> None:
    message = chain(one(FAULT, name="my-fault"), one(GRPC_STATS, name="g"), one(CORS, name="c"), THE_ROUTER)
    filters, router = compile_chain(message.http_filters, At("l"))
    assert [type(found) for found in filters] == [FaultFilter, CorsFilter]
    assert [found.name for found in filters] == ["my-fault", "c"]
    assert not router.suppress_envoy_headers


def test_an_optional_stranger_is_left_out() -> None:
    filters, _ = compile_chain(chain(one(STRANGER, ", is_optional: true"), THE_ROUTER).http_filters, At("l"))
    assert filters == ()


@pytest.mark.parametrize(
    ("filters", "path", "reason"),
    [
        ([], "http_filters", "must end with envoy.filters.http.router"),
        ([one(FAULT)], "http_filters", "must end with"),
        ([THE_ROUTER, one(FAULT)], "http_filters[1]", "comes after the router"),
        ([one(STRANGER), THE_ROUTER], "http_filters[0].typed_config", "is not known to this proxy"),
        ([one(FAULT), one(CORS), THE_ROUTER], "http_filters[1].name", "there twice"),
        ([one(FAULT, ", disabled: true"), THE_ROUTER], "http_filters[0].disabled", "not supported"),
        (["{name: f, config_discovery: {}}", THE_ROUTER], "http_filters[0].config_discovery", "not supported"),
        (
            [f"{{name: r, typed_config: {{'@type': {ROUTER}, upstream_http_filters: [{{name: x}}]}}}}"],
            "http_filters[0].typed_config.upstream_http_filters",
            "not supported",
        ),
    ],
)
def test_refuses(filters: list[str], path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_chain(chain(*filters).http_filters, At("l"))
    assert caught.value.path == path


def test_every_kind_is_told_by_its_messages() -> None:
    assert len({kind.config for kind in FILTERS}) == len(FILTERS)
    assert all((kind.route_config is None) == (kind.route is None) for kind in FILTERS)


def test_settings_that_can_be_are_completed_by_the_level_above() -> None:
    assert CORS_KIND.route is not None
    at = At("r")
    upper = CORS_KIND.route(proto(CorsPolicy, "{max_age: '5'}"), at)
    own = CORS_KIND.route(proto(CorsPolicy, "{allow_methods: GET}"), at)
    layered = layer_route_filters({"cors": upper, "other": 1, "off": upper}, {"cors": own, "off": DISABLED})
    found = layered["cors"]
    assert isinstance(found, CorsSettings)
    assert (found.max_age, found.methods) == (b"5", b"GET")
    assert layered["other"] == 1
    assert layered["off"] is DISABLED
    assert layer_route_filters({"off": DISABLED}, {"off": own})["off"] is own
