"""/config_dump in Envoy's JSON, made from what the control plane sent, not from the compiled configuration.

Resources are printed one at a time with the event loop in between, so that a dump of a large mesh does not hold up
the requests that pass.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from envoy.admin.v3 import config_dump_shared_pb2 as dump
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sidecar.admin.inline_resources import inline_endpoints, inline_routes, with_defaults
from sidecar.admin.render import any_to_dict, to_dict
from sidecar.xds.client import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from sidecar.xds.resources import Accepted, Refused, ResourceSet

_DUMP_TYPE = "type.googleapis.com/envoy.admin.v3."

Entry = dict[str, Any]
MakeEntry = Callable[[], Entry]


class UnknownResource(Exception):
    """?resource= names no list of the dump; the text lists those there are."""


class ConfigDump:
    """`resources` are the xDS client's, by type URL; `warming` says which clusters still wait for endpoints."""

    def __init__(
        self,
        bootstrap: Mapping[str, Any],
        started_s: float,
        resources: Mapping[str, ResourceSet[Any]],
        warming: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._bootstrap = bootstrap
        self._started = _time_text(started_s)
        self._resources = resources
        self._warming = warming

    async def whole(self, *, include_eds: bool = False, name: re.Pattern[str] | None = None, mask: str = "") -> Entry:
        """{"configs": [BootstrapConfigDump, ClustersConfigDump, …]}, in Envoy's order."""
        configs = []
        for kind, fields in self._dumps(include_eds):
            section: Entry = {"@type": _DUMP_TYPE + kind}
            for field, value in fields.items():
                if isinstance(value, str | dict):
                    section[field] = value
                elif entries := await _collect(value, name):
                    section[field] = entries
            configs.append(_masked(section, mask))
        return {"configs": configs}

    async def only(self, resource: str, *, name: re.Pattern[str] | None = None, mask: str = "") -> Entry:
        """{"configs": [entries of one list, such as dynamic_active_clusters]}. Raises UnknownResource."""
        lists = {}
        for kind, fields in self._dumps(include_eds=True):
            for field, value in fields.items():
                if not isinstance(value, str):
                    lists[field] = (kind, value)
        if resource not in lists:
            raise UnknownResource(f"{resource} not found in config dump; there are: {', '.join(sorted(lists))}")
        kind, value = lists[resource]
        if isinstance(value, dict):  # the bootstrap is one message, not a list
            return {"configs": [_masked({"@type": _DUMP_TYPE + kind, resource: value}, mask)]}
        entry_type = _DUMP_TYPE + kind + "." + _ENTRY_TYPES[resource]
        return {"configs": [_masked({"@type": entry_type, **entry}, mask) for entry in await _collect(value, name)]}

    def _dumps(self, include_eds: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """(message, {field: text, message or list of entries to be made})."""
        static = self._bootstrap["static_resources"]
        warming = set(self._warming())
        clusters = self._resources[CLUSTER_TYPE]
        yield "BootstrapConfigDump", {"bootstrap": dict(self._bootstrap), "last_updated": self._started}
        yield (
            "ClustersConfigDump",
            {
                **_version(clusters),
                "static_clusters": [
                    self._static("cluster", CLUSTER_TYPE, one, one["name"]) for one in static.get("clusters", ())
                ],
                "dynamic_active_clusters": [
                    (name, _cluster(clusters.accepted.get(name), clusters.refused.get(name)))
                    for name in sorted(clusters.accepted.keys() | clusters.refused.keys())
                    if name not in warming
                ],
                "dynamic_warming_clusters": [
                    (name, _cluster(held)) for name, held in clusters.accepted.items() if name in warming
                ],
            },
        )
        if include_eds:
            endpoints = self._resources[ENDPOINT_TYPE]
            yield (
                "EndpointsConfigDump",
                {
                    "static_endpoint_configs": [
                        (one["name"], _inline_endpoints(copy.deepcopy(one["load_assignment"])))
                        for one in static.get("clusters", ())
                    ],
                    "dynamic_endpoint_configs": chain(
                        [(name, _endpoints(held)) for name, held in endpoints.accepted.items()],
                        (
                            (name, _inline_endpoints(found))
                            for name, found in inline_endpoints(list(clusters.accepted.values()))
                        ),
                    ),
                },
            )
        listeners = self._resources[LISTENER_TYPE]
        names = sorted(listeners.accepted.keys() | listeners.refused.keys())
        yield (
            "ListenersConfigDump",
            {
                **_version(listeners),
                "static_listeners": [
                    self._static("listener", LISTENER_TYPE, one, one["name"]) for one in static.get("listeners", ())
                ],
                "dynamic_listeners": [
                    (name, _listener(name, listeners.accepted.get(name), listeners.refused.get(name))) for name in names
                ],
            },
        )
        yield "ScopedRoutesConfigDump", {}
        routes = self._resources[ROUTE_TYPE]
        yield (
            "RoutesConfigDump",
            {
                "static_route_configs": chain(
                    (
                        (found.get("name", ""), _inline_route(found, updated_s))
                        for found, updated_s in inline_routes(list(listeners.accepted.values()))
                    ),
                    [
                        self._static("route_config", ROUTE_TYPE, config, config.get("name", ""))
                        for config in _inline_routes(static.get("listeners", ()))
                    ],
                ),
                "dynamic_route_configs": [
                    (name, _route(routes.accepted.get(name), routes.refused.get(name)))
                    for name in sorted(routes.accepted.keys() | routes.refused.keys())
                ],
            },
        )
        yield "SecretsConfigDump", {}

    def _static(self, field: str, type_url: str, message: Mapping[str, Any], name: str) -> tuple[str, MakeEntry]:
        return name, lambda: {field: {"@type": type_url, **message}, "last_updated": self._started}


#: List → the message its entries are.
_ENTRY_TYPES = {
    "static_clusters": "StaticCluster",
    "dynamic_active_clusters": "DynamicCluster",
    "dynamic_warming_clusters": "DynamicCluster",
    "static_endpoint_configs": "StaticEndpointConfig",
    "dynamic_endpoint_configs": "DynamicEndpointConfig",
    "static_listeners": "StaticListener",
    "dynamic_listeners": "DynamicListener",
    "static_route_configs": "StaticRouteConfig",
    "dynamic_route_configs": "DynamicRouteConfig",
}


async def _collect(entries: Iterable[tuple[str, MakeEntry]], name: re.Pattern[str] | None) -> list[Entry]:
    collected = []
    for entry_name, make in entries:
        if name is None or name.search(entry_name):
            collected.append(make())
            await asyncio.sleep(0)
    return collected


def _version(resources: ResourceSet[Any]) -> Entry:
    return {"version_info": resources.version} if resources.version else {}


def _cluster(held: Accepted | None, bad: Refused | None = None) -> MakeEntry:
    entry = dump.ClustersConfigDump.DynamicCluster()
    if held is not None:
        entry.version_info = held.version
        entry.last_updated.CopyFrom(_time(held.updated_s))
    if bad is not None:
        entry.error_state.CopyFrom(_error_state(bad))
    return _entry(entry, "cluster", held.value if held is not None else None)


def _endpoints(held: Accepted) -> MakeEntry:
    entry = dump.EndpointsConfigDump.DynamicEndpointConfig(version_info=held.version)
    entry.last_updated.CopyFrom(_time(held.updated_s))
    make = _entry(entry, "endpoint_config", held.value)

    def make_with_defaults() -> Entry:
        shown = make()
        with_defaults(shown["endpoint_config"])
        return shown

    return make_with_defaults


def _inline_endpoints(found: Entry) -> MakeEntry:
    return lambda: {"endpoint_config": {"@type": ENDPOINT_TYPE, **with_defaults(found)}}


def _inline_route(found: Entry, updated_s: float) -> MakeEntry:
    return lambda: {"route_config": {"@type": ROUTE_TYPE, **found}, "last_updated": _time_text(updated_s)}


def _route(held: Accepted | None, bad: Refused | None) -> MakeEntry:
    entry = dump.RoutesConfigDump.DynamicRouteConfig()
    if held is not None:
        entry.version_info = held.version
        entry.last_updated.CopyFrom(_time(held.updated_s))
    if bad is not None:
        entry.error_state.CopyFrom(_error_state(bad))
    return _entry(entry, "route_config", held.value if held is not None else None)


def _listener(name: str, held: Accepted | None, bad: Refused | None) -> MakeEntry:
    def make() -> Entry:
        shown: Entry = {"name": name}
        if held is not None:
            state = dump.ListenersConfigDump.DynamicListenerState(version_info=held.version)
            state.last_updated.CopyFrom(_time(held.updated_s))
            shown["active_state"] = _entry(state, "listener", held.value)()
        if bad is not None:
            shown["error_state"] = _shown_error(_error_state(bad))
        return shown

    return make


def _entry(entry: Message, field: str, value: AnyMessage | None) -> MakeEntry:
    def make() -> Entry:
        shown = to_dict(entry)
        if "error_state" in shown:
            shown["error_state"] = _shown_error(entry.error_state)  # type: ignore[attr-defined]
        if value is not None:
            shown[field] = any_to_dict(value)
        return shown

    return make


def _error_state(bad: Refused) -> dump.UpdateFailureState:
    state = dump.UpdateFailureState(details=bad.details, version_info=bad.version)
    state.failed_configuration.CopyFrom(bad.value)
    state.last_update_attempt.CopyFrom(_time(bad.attempted_s))
    return state


def _shown_error(state: dump.UpdateFailureState) -> Entry:
    value = AnyMessage()
    value.CopyFrom(state.failed_configuration)
    state.ClearField("failed_configuration")
    return {"failed_configuration": any_to_dict(value), **to_dict(state)}


def _inline_routes(listeners: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for listener in listeners:
        for one in listener["filter_chains"]:
            for network_filter in one["filters"]:
                if "route_config" in network_filter["typed_config"]:
                    yield network_filter["typed_config"]["route_config"]


def _time(when_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(int(when_s * 1000))
    return stamp


def _time_text(when_s: float) -> str:
    return str(_time(when_s).ToJsonString())


def _masked(entry: Entry, mask: str) -> Entry:
    """Only the fields of a comma-separated list of dotted paths (google.protobuf.FieldMask), and the type."""
    if not mask:
        return entry
    kept: Entry = {"@type": entry["@type"]} if "@type" in entry else {}
    for path in mask.split(","):
        _copy_path(entry, kept, path.strip().split("."))
    return kept


def _copy_path(source: Entry, target: Entry, path: list[str]) -> None:
    name, *rest = path
    value = source.get(name)
    if value is None:
        return
    if not rest or not isinstance(value, dict):
        target[name] = value
        return
    inner = target.setdefault(name, {"@type": value["@type"]} if "@type" in value else {})
    _copy_path(value, inner, rest)
