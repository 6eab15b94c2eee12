"""envoy.filters.http.cors: VirtualService.http[].corsPolicy."""

from typing import Any

from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.translate.percent import hundred, runtime
from controlplane.translate.protos import any_of
from controlplane.translate.string_match import exact, string_matcher
from lugsail.api.scalars import parse_duration
from lugsail.api.virtual_service import CorsPolicy

NAME = "envoy.filters.http.cors"


def http_filter() -> Any:
    """The filter; it does nothing on routes without a policy."""
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=any_of(cors_pb2.Cors()))


def per_route(policy: CorsPolicy | None) -> Any | None:
    """The route's policy as google.protobuf.Any."""
    if policy is None:
        return None
    origins = [string_matcher(origin) for origin in policy.allow_origins]
    if not policy.allow_origins:
        origins = [exact(origin) for origin in policy.allow_origin]
    out = cors_pb2.CorsPolicy(
        allow_origin_string_match=[origin for origin in origins if origin is not None],
        allow_methods=",".join(policy.allow_methods),
        allow_headers=",".join(policy.allow_headers),
        expose_headers=",".join(policy.expose_headers),
        filter_enabled=runtime(hundred()),
        forward_not_matching_preflights=BoolValue(value=policy.unmatched_preflights != "IGNORE"),
    )
    if policy.max_age is not None:
        out.max_age = str(int(parse_duration(policy.max_age)))
    if policy.allow_credentials is not None:
        out.allow_credentials.value = policy.allow_credentials
    return any_of(out)
