"""Reads the value of an EnvoyFilter patch as the Envoy message that it patches.

Envoy's protos are loaded only when such a value is there: they cost more than everything else in this package.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from lugsail.api.validation.place import Place

# applyTo -> the message its value is (module, name).
_MESSAGES = {
    "LISTENER": ("envoy.config.listener.v3.listener_pb2", "Listener"),
    "FILTER_CHAIN": ("envoy.config.listener.v3.listener_components_pb2", "FilterChain"),
    "NETWORK_FILTER": ("envoy.config.listener.v3.listener_components_pb2", "Filter"),
    "LISTENER_FILTER": ("envoy.config.listener.v3.listener_components_pb2", "ListenerFilter"),
    "HTTP_FILTER": (
        "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
        "HttpFilter",
    ),
    "ROUTE_CONFIGURATION": ("envoy.config.route.v3.route_pb2", "RouteConfiguration"),
    "VIRTUAL_HOST": ("envoy.config.route.v3.route_components_pb2", "VirtualHost"),
    "HTTP_ROUTE": ("envoy.config.route.v3.route_components_pb2", "Route"),
    "CLUSTER": ("envoy.config.cluster.v3.cluster_pb2", "Cluster"),
    "EXTENSION_CONFIG": ("envoy.config.core.v3.extension_pb2", "TypedExtensionConfig"),
    "BOOTSTRAP": ("envoy.config.bootstrap.v3.bootstrap_pb2", "Bootstrap"),
}
_TYPE_PREFIX = "type.googleapis.com/"
_TYPE_ROOTS = ("envoy.", "udpa.", "xds.", "google.protobuf.")


def check_value(place: Place, apply_to: str, value: dict[str, Any]) -> None:
    """Types that are known must parse; fields and types that are not known are warnings (Envoy may be newer)."""
    known = True
    for path, type_url in _type_urls(value):
        here = place
        for part in path:
            here = here / part
        known = _check_type_url(here, type_url) and known
    module, name = _MESSAGES.get(apply_to, ("", ""))
    if module and known:
        _parse(place, getattr(importlib.import_module(module), name), value)


def _type_urls(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "@type":
                yield (*path, key), child
            else:
                yield from _type_urls(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _type_urls(child, (*path, index))


def _check_type_url(place: Place, type_url: Any) -> bool:
    """Makes the type known to protobuf; False where it is not."""
    if not isinstance(type_url, str) or not type_url.startswith(_TYPE_PREFIX):
        place.fail(f"{type_url!r} is not a type", f"write {_TYPE_PREFIX}envoy…")
        return False
    name = type_url.removeprefix(_TYPE_PREFIX)
    if name.startswith("envoy.") and ".v2" in name:
        place.fail(f"{name} is of Envoy's v2 API, which is gone", "use its v3 successor")
        return False
    if not name.startswith(_TYPE_ROOTS) or not _load_type(name):
        place.warn(f"{name} is not a known type, so its value is not checked")
        return False
    return True


def _load_type(name: str) -> bool:
    from google.protobuf import descriptor_pool

    package = name.rpartition(".")[0]
    # A nested message's parent is no package: go up until one is found.
    while package:
        try:
            module = importlib.import_module(package)
        except ImportError:
            package = package.rpartition(".")[0]
            continue
        for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
            if found.name.endswith("_pb2"):
                importlib.import_module(f"{package}.{found.name}")
        break
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return False
    return True


def _parse(place: Place, message_class: Any, value: dict[str, Any]) -> None:
    from google.protobuf import json_format

    try:
        json_format.ParseDict(value, message_class(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError) as error:
        place.fail(f"is not a {message_class.DESCRIPTOR.name} of Envoy: {error}", "see Envoy's v3 API")
        return
    try:
        json_format.ParseDict(value, message_class())
    except (json_format.ParseError, ValueError, TypeError) as error:
        place.warn(f"has a field that is not known: {error}")
