"""Routes as the data path reads them: frozen, slotted, everything merged that can be merged beforehand.

A `Route` carries what its virtual host and route configuration add (header mutations, retry policy, mirrors, filter
settings), so nothing is looked up a level higher per request. A weighted split is a route of which each branch is a
complete route of its own; the route table answers the branch. Durations are milliseconds; None means "no limit".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from sidecar.config.matchers import HeaderMatch, QueryMatch, Regex
from sidecar.config.tracing import Decorator, RouteTracing

PathKind = Literal["prefix", "exact", "separated_prefix", "regex"]

#: A header value: literal bytes, or a formatter of the request's StreamInfo (%REQ(x)% and the like).
HeaderValue = bytes | Callable[[Any], bytes]

_NOTHING: Mapping[str, object] = {}


class HeaderAction(IntEnum):
    """envoy.config.core.v3.HeaderValueOption.HeaderAppendAction, same numbers."""

    APPEND_IF_EXISTS_OR_ADD = 0
    ADD_IF_ABSENT = 1
    OVERWRITE_IF_EXISTS_OR_ADD = 2
    OVERWRITE_IF_EXISTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMutation:
    """One addition or replacement of a header. `name` is lower-case; an empty value is nothing unless `keep_empty`."""

    action: HeaderAction
    name: bytes
    value: HeaderValue = b""
    keep_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLevel:
    """The changes of one level (branch, route, virtual host, route configuration): removals first, then the others."""

    remove: tuple[bytes, ...] = ()
    change: tuple[HeaderMutation, ...] = ()


#: The levels in the order they apply; levels without changes are left out, so an empty tuple is nothing to do.
HeaderMutations = tuple[HeaderLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMatch:
    """envoy.config.route.v3.RouteMatch. `path` is lower-case when not `case_sensitive`. `fraction` is in [0, 1]."""

    path_kind: PathKind = "prefix"
    path: bytes = b"/"
    regex: Regex = None
    case_sensitive: bool = True
    headers: tuple[HeaderMatch, ...] = ()
    query: tuple[QueryMatch, ...] = ()
    fraction: float | None = None
    grpc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """envoy.config.route.v3.RetryPolicy. `retry_on` holds the terms of HTTP and gRPC conditions together.

    `previous_hosts`: a retry avoids hosts tried already, re-picking at most `host_selection_attempts` times.
    `previous_priorities_every`: a retry avoids priorities tried already, looked at again every so many attempts.
    """

    retry_on: frozenset[str]
    num_retries: int = 1
    per_try_timeout_ms: float | None = None
    base_interval_ms: float = 25.0
    max_interval_ms: float = 250.0
    retriable_status_codes: frozenset[int] = frozenset()
    retriable_headers: tuple[HeaderMatch, ...] = ()
    retriable_request_headers: tuple[HeaderMatch, ...] = ()
    previous_hosts: bool = False
    host_selection_attempts: int = 1
    previous_priorities_every: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRewrite:
    """How the path (without its query) changes before it goes upstream.

    With `regex` None, the first `matched_len` bytes (None: the whole path) become `replacement`. With a regex every
    match becomes `replacement`, an RE2 rewrite (\\1 …).
    """

    replacement: bytes
    matched_len: int | None = None
    regex: Regex = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRewrite:
    """How the authority changes before the request goes upstream.

    literal: `value`. header: the value of the header named `value`, when there. auto: the upstream host's DNS name
    (known only once an endpoint is picked). path_regex: `regex` over the path, with `value` as RE2 rewrite.
    """

    kind: Literal["literal", "header", "auto", "path_regex"]
    value: bytes = b""
    regex: Regex = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HashPolicy:
    """envoy.config.route.v3.RouteAction.HashPolicy.

    `name` is the header, cookie or query parameter. For a cookie `ttl_ms` not None means: make one when it is
    missing (0: a session cookie), with `path` and `attributes` (name, value).
    """

    kind: Literal["header", "cookie", "source_ip", "query"]
    name: bytes = b""
    ttl_ms: float | None = None
    path: bytes = b""
    attributes: tuple[tuple[bytes, bytes], ...] = ()
    regex: Regex = None
    replacement: bytes = b""
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPolicy:
    """envoy.config.route.v3.RouteAction.RequestMirrorPolicy; `fraction` in [0, 1] of requests are mirrored."""

    cluster: str
    fraction: float = 1.0
    append_shadow_suffix: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAction:
    """Forward to one cluster (envoy.config.route.v3.RouteAction; a weighted split has one action per branch).

    `idle_timeout_ms` and `max_stream_duration_ms`: None leaves the connection manager's, 0 means none.
    """

    cluster: str
    timeout_ms: float | None = 15_000.0
    idle_timeout_ms: float | None = None
    max_stream_duration_ms: float | None = None
    retry: RetryPolicy | None = None
    path_rewrite: PathRewrite | None = None
    host_rewrite: HostRewrite | None = None
    append_x_forwarded_host: bool = False
    mirrors: tuple[MirrorPolicy, ...] = ()
    hash_policies: tuple[HashPolicy, ...] = ()
    cluster_not_found_status: int = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """envoy.config.route.v3.RedirectAction; None fields leave that part of the URL as it came."""

    status: int = 301
    scheme: bytes | None = None
    https: bool = False
    host: bytes | None = None
    port: int | None = None
    #: Replaces the path; with a `?` in it, the query too.
    path: bytes | None = None
    path_rewrite: PathRewrite | None = None
    strip_query: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectResponse:
    """envoy.config.route.v3.DirectResponseAction with the body read."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSplit:
    """Branches of a weighted route: `bounds[i]` is the sum of the weights up to and with `routes[i]`."""

    bounds: tuple[int, ...]
    routes: tuple[Route, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One route. Exactly one of `action`, `redirect`, `direct_response`, `split` is set; the data path never sees a
    `split`, since `RouteTable.match` answers one of its branches. `eq=False`: a route is itself, and a fast dict key.

    `source` is the resource the route came from (metadata filter_metadata.istio.config), or "".
    """

    name: str = ""
    match: RouteMatch = RouteMatch()
    action: RouteAction | None = None
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    split: WeightedSplit | None = None
    request_headers: HeaderMutations = ()
    response_headers: HeaderMutations = ()
    #: HTTP filter name → its compiled settings for this route, the most specific level winning.
    filter_configs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    virtual_host: str = ""
    include_request_attempt_count: bool = False
    include_attempt_count_in_response: bool = False
    decorator: Decorator | None = None
    tracing: RouteTracing | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VirtualHost:
    """envoy.config.route.v3.VirtualHost; `domains` are lower-case."""

    name: str
    domains: tuple[bytes, ...]
    routes: tuple[Route, ...] = ()
    require_tls: Literal["none", "external_only", "all"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RouteConfiguration:
    """envoy.config.route.v3.RouteConfiguration. `clusters` are the names its routes forward or mirror to."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...] = ()
    ignore_port_in_host_matching: bool = False
    clusters: frozenset[str] = frozenset()
