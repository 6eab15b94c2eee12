"""Writing protos in tests: YAML text to messages, and a route configuration around some routes."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf import json_format
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

#: A type that no filter, socket or predicate is configured by.
STRANGER = "type.googleapis.com/envoy.config.route.v3.Decorator"
FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
CORS_POLICY = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"
CORS = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


def proto(kind: type[M], text: str | dict[str, Any]) -> M:
    """A message from YAML (or its data), by proto field names."""
    data = yaml.safe_load(text) if isinstance(text, str) else text
    return json_format.ParseDict(data or {}, kind())


def with_routes(*routes: str | dict[str, Any], host: dict[str, Any] | None = None, **top: Any) -> RouteConfiguration:
    """A route configuration "r" with one virtual host "v" for all domains and these routes."""
    parsed = [yaml.safe_load(route) if isinstance(route, str) else route for route in routes]
    virtual_host = {"name": "v", "domains": ["*"], "routes": parsed, **(host or {})}
    return proto(RouteConfiguration, {"name": "r", "virtual_hosts": [virtual_host], **top})
