"""envoy.filters.http.cors: answers preflight requests, and tells browsers which origins may read the other answers.

Each field of the policy is the route's, else its virtual host's, else its route configuration's; only the share of
requests it acts on is the most specific policy's alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors, CorsPolicy

from sidecar.config.protos import reject_unhandled, runtime_fraction, string_match, wrapped
from sidecar.config.rejected import At
from sidecar.filters.base import DISABLED, FilterKind, FilterStream, HttpFilter, Layered, LocalReply
from sidecar.filters.predicates import ValuePredicate, value_predicate

_FIELDS = (
    "allow_origin_string_match",
    "allow_methods",
    "allow_headers",
    "expose_headers",
    "max_age",
    "allow_credentials",
    "filter_enabled",
    "shadow_enabled",
    "allow_private_network_access",
    "forward_not_matching_preflights",
)
_ALLOW_ORIGIN = b"access-control-allow-origin"
_ALLOW_CREDENTIALS = b"access-control-allow-credentials"
_ALLOW_METHODS = b"access-control-allow-methods"
_ALLOW_HEADERS = b"access-control-allow-headers"
_ALLOW_NETWORK = b"access-control-allow-private-network"
_EXPOSE_HEADERS = b"access-control-expose-headers"
_MAX_AGE = b"access-control-max-age"
_REQUEST_METHOD = b"access-control-request-method"
_REQUEST_HEADERS = b"access-control-request-headers"
_REQUEST_NETWORK = b"access-control-request-private-network"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsSettings(Layered):
    """CorsPolicy, compiled. `enabled` is the share in [0, 1] of requests it acts on; empty texts send no header.

    None is not said: no credentials, no private networks, and preflight requests that do not match are passed on.
    """

    origins: tuple[ValuePredicate, ...] = ()
    methods: bytes = b""
    headers: bytes = b""
    expose: bytes = b""
    max_age: bytes = b""
    credentials: bool | None = None
    private_network: bool | None = None
    forward_unmatched: bool | None = None
    enabled: float = 1.0

    def over(self, upper: CorsSettings) -> CorsSettings:
        """Field by field, as Envoy's filter asks the policies of a route from the most specific one up."""
        return CorsSettings(
            origins=self.origins or upper.origins,
            methods=self.methods or upper.methods,
            headers=self.headers or upper.headers,
            expose=self.expose or upper.expose,
            max_age=self.max_age or upper.max_age,
            credentials=_said(self.credentials, upper.credentials),
            private_network=_said(self.private_network, upper.private_network),
            forward_unmatched=_said(self.forward_unmatched, upper.forward_unmatched),
            enabled=self.enabled,
        )

    def allows(self, origin: bytes) -> bool:
        """Whether a page of this origin may read answers; an origin matcher that takes `*` takes all."""
        return any(test(b"*") or test(origin) for test in self.origins)


def _said(own: bool | None, upper: bool | None) -> bool | None:
    return upper if own is None else own


class CorsFilter(HttpFilter):
    """Acts by the route's policy; without one it does nothing."""

    __slots__ = ()

    def acts_with(self, route_config: Any) -> bool:
        """Whether such routes have a policy."""
        return route_config is not None and route_config is not DISABLED

    def on_request(self, stream: FilterStream) -> LocalReply | None:
        """The answer to a preflight request, or nothing."""
        policy = stream.route_config(self.name)
        if policy is None or policy is DISABLED:
            return None
        request = stream.request
        origin = request.get(b"origin")
        route = stream.info.route
        # Envoy leaves routes alone that redirect or answer themselves.
        if not origin or (route is not None and route.action is None):
            return None
        if policy.enabled < 1.0 and stream.random() >= policy.enabled:
            return None
        allowed = policy.allows(origin)
        if allowed:
            # Remembered, since the route may remove the header before the response comes.
            if stream.filter_state is None:
                stream.filter_state = {}
            stream.filter_state[self.name] = origin
        if request.method != b"OPTIONS" or not request.get(_REQUEST_METHOD):
            return None
        if not allowed and policy.forward_unmatched is not False:
            return None
        return LocalReply(200, b"", "cors_response", 0, _preflight(policy, stream, origin if allowed else None))

    def on_response(self, stream: FilterStream) -> None:
        """Add what lets the page read the answer, for origins that are allowed."""
        if stream.filter_state is None or stream.response is None:
            return
        origin = stream.filter_state.get(self.name)
        policy = stream.route_config(self.name)
        if origin is None or policy is None or policy is DISABLED:
            return
        response = stream.response
        response.set(_ALLOW_ORIGIN, origin)
        if policy.credentials:
            response.set(_ALLOW_CREDENTIALS, b"true")
        if policy.expose:
            response.set(_EXPOSE_HEADERS, policy.expose)


def _preflight(policy: CorsSettings, stream: FilterStream, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of the answer; a policy of `*` allows what the page asks for. `origin` None is not allowed."""
    request = stream.request
    headers: list[tuple[bytes, bytes]] = []
    if origin is not None:
        headers.append((_ALLOW_ORIGIN, origin))
    if policy.credentials:
        headers.append((_ALLOW_CREDENTIALS, b"true"))
    if policy.methods:
        methods = request.get(_REQUEST_METHOD, b"") if policy.methods == b"*" else policy.methods
        headers.append((_ALLOW_METHODS, methods))
    if policy.headers:
        asked = request.get(_REQUEST_HEADERS, b"") if policy.headers == b"*" else policy.headers
        headers.append((_ALLOW_HEADERS, asked))
    if policy.max_age:
        headers.append((_MAX_AGE, policy.max_age))
    if policy.private_network and request.get(_REQUEST_NETWORK) == b"true":
        headers.append((_ALLOW_NETWORK, b"true"))
    if origin is not None and policy.expose:
        headers.append((_EXPOSE_HEADERS, policy.expose))
    return tuple(headers)


def _read(message: Any, at: At) -> CorsSettings:
    reject_unhandled(message, _FIELDS, at)
    origins = tuple(
        value_predicate(string_match(one, at.field("allow_origin_string_match", index)))
        for index, one in enumerate(message.allow_origin_string_match)
    )
    return CorsSettings(
        origins=origins,
        methods=message.allow_methods.encode(),
        headers=message.allow_headers.encode(),
        expose=message.expose_headers.encode(),
        max_age=message.max_age.encode(),
        credentials=wrapped(message, "allow_credentials", None),
        private_network=wrapped(message, "allow_private_network_access", None),
        forward_unmatched=wrapped(message, "forward_not_matching_preflights", None),
        enabled=runtime_fraction(message.filter_enabled) if message.HasField("filter_enabled") else 1.0,
    )


CORS = FilterKind(
    config=Cors,
    build=lambda name, message, at: CorsFilter(name),
    route_config=CorsPolicy,
    route=_read,
)
