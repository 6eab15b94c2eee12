"""The HTTP filters this proxy knows, and reading them from a connection manager and from routes.

A new filter is a file in `sidecar/filters/` and a row in FILTERS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from envoy.config.route.v3.route_components_pb2 import FilterConfig
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from google.protobuf.any_pb2 import Any as AnyMessage

from sidecar.compiler.ignored import IGNORED_HTTP_FILTERS, check
from sidecar.config.protos import unpack
from sidecar.config.rejected import At
from sidecar.filters.base import DISABLED, FilterKind, HttpFilter, Layered
from sidecar.filters.cors import CORS
from sidecar.filters.fault import FAULT

#: Every filter but the router. The order within a chain is the configuration's, so the order here means nothing.
FILTERS: tuple[FilterKind, ...] = (
    CORS,
    FAULT,
)

_ROUTER = Router.DESCRIPTOR.full_name
_BY_CONFIG = {kind.config.DESCRIPTOR.full_name: kind for kind in FILTERS}
_BY_ROUTE_CONFIG = {kind.route_config.DESCRIPTOR.full_name: kind for kind in FILTERS if kind.route_config is not None}
_WRAPPER = FilterConfig.DESCRIPTOR.full_name


def compile_chain(filters: Iterable[Any], at: At) -> tuple[tuple[HttpFilter, ...], Router]:
    """The filters of a connection manager without the router that ends them, and the router's settings."""
    compiled: list[HttpFilter] = []
    names: set[str] = set()
    router: Router | None = None
    for index, entry in enumerate(filters):
        place = at.field("http_filters", index)
        if router is not None:
            place.reject(f"{entry.name!r} comes after the router, which must be the last filter")
        check(entry, ("name", "typed_config", "is_optional"), place)
        if not entry.name or entry.name in names:
            place.field("name").reject(f"{entry.name!r} is empty or there twice; each filter needs a name of its own")
        names.add(entry.name)
        kind_name = _type_name(entry.typed_config)
        place = place.field("typed_config")
        if kind_name == _ROUTER:
            router = unpack(entry.typed_config, Router, place)
            check(router, ("suppress_envoy_headers",), place)
            continue
        kind = _BY_CONFIG.get(kind_name)
        if kind is not None:
            built = kind.build(entry.name, unpack(entry.typed_config, kind.config, place), place)
            if built is not None:
                compiled.append(built)
        elif kind_name not in IGNORED_HTTP_FILTERS and not entry.is_optional:
            place.reject(f"the filter {entry.name!r} of type {kind_name or 'none'} is not known to this proxy")
    if router is None:
        at.field("http_filters").reject("must end with envoy.filters.http.router")
    return tuple(compiled), router


def compile_route_filters(settings: Mapping[str, AnyMessage], at: At) -> dict[str, object]:
    """typed_per_filter_config of a level: filter name → compiled settings, or DISABLED."""
    compiled: dict[str, object] = {}
    for name in settings:
        place = at.field("typed_per_filter_config", name)
        packed, optional = settings[name], False
        if _type_name(packed) == _WRAPPER:
            wrapper = unpack(packed, FilterConfig, place)
            if wrapper.disabled:
                compiled[name] = DISABLED
                continue
            packed, optional = wrapper.config, wrapper.is_optional
        kind_name = _type_name(packed)
        kind = _BY_ROUTE_CONFIG.get(kind_name)
        if kind is not None and kind.route is not None and kind.route_config is not None:
            compiled[name] = kind.route(unpack(packed, kind.route_config, place), place)
        elif not optional:
            place.reject(f"settings of type {kind_name or 'none'} belong to no filter known to this proxy")
    return compiled


def layer_route_filters(upper: Mapping[str, object], own: Mapping[str, object]) -> Mapping[str, object]:
    """What counts on a level whose settings are `own`, below a level where `upper` counts."""
    layered = {**upper, **own}
    for name, setting in own.items():
        above = upper.get(name)
        if isinstance(setting, Layered) and isinstance(above, type(setting)):
            layered[name] = setting.over(above)
    return layered


def _type_name(packed: AnyMessage) -> str:
    return packed.type_url.rpartition("/")[2]
