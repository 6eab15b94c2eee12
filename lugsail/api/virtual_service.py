"""VirtualService: how requests to a host are routed (networking.istio.io)."""

from typing import Literal

from pydantic import Field

from lugsail.api.base import ApiModel, Resource
from lugsail.api.scalars import Bool, Double, Duration, Int32, UInt32


class Percent(ApiModel):
    """0 to 100, fractions allowed."""

    value: Double = 0.0


class PortSelector(ApiModel):
    """A port by its number."""

    number: UInt32 = 0


class StringMatch(ApiModel):
    """Exactly one of the three; none at all means that the value need only be present. `regex` is RE2, whole match."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class Destination(ApiModel):
    """A service, or a subset of it, and which of its ports."""

    host: str = ""
    subset: str = ""
    port: PortSelector | None = None


class HeaderOperations(ApiModel):
    """What to do to headers: `set` overwrites, `add` appends, `remove` drops."""

    set: dict[str, str] = Field(default_factory=dict)
    add: dict[str, str] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Headers(ApiModel):
    """Header changes on the way in and on the way back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HTTPMatchRequest(ApiModel):
    """All given conditions must hold."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] = Field(default_factory=dict)
    port: UInt32 = 0
    source_labels: dict[str, str] = Field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    query_params: dict[str, StringMatch] = Field(default_factory=dict)
    ignore_uri_case: Bool = False
    without_headers: dict[str, StringMatch] = Field(default_factory=dict)
    source_namespace: str = ""
    stat_prefix: str = ""


class HTTPRouteDestination(ApiModel):
    """One destination of a route and its share. A single destination may leave the weight out."""

    destination: Destination | None = None
    weight: Int32 = 0
    headers: Headers | None = None


class HTTPRedirect(ApiModel):
    """Answer with a redirect. `port` and `derivePort` exclude each other."""

    uri: str = ""
    authority: str = ""
    port: UInt32 | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str = ""
    redirect_code: UInt32 = 0


class HTTPBody(ApiModel):
    """A fixed body: text, or base64 of bytes."""

    string: str | None = None
    bytes: str | None = None


class HTTPDirectResponse(ApiModel):
    """Answer at the proxy."""

    status: UInt32 = 0
    body: HTTPBody | None = None


class Delegate(ApiModel):
    """Another VirtualService that holds the routes."""

    name: str = ""
    namespace: str = ""


class RegexRewrite(ApiModel):
    r"""RE2 match and substitution (`\1` …)."""

    match: str = ""
    rewrite: str = ""


class HTTPRewrite(ApiModel):
    """Rewrites of path and authority before the request is forwarded."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(ApiModel):
    """Retry policy. `attempts: 0` turns retries off."""

    attempts: Int32 = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: Bool | None = None
    retry_ignore_previous_hosts: Bool | None = None
    backoff: Duration | None = None


class FaultDelay(ApiModel):
    """Delay before forwarding."""

    percent: Int32 = 0
    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None


class FaultAbort(ApiModel):
    """Answer with an error instead of forwarding."""

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None


class HTTPFaultInjection(ApiModel):
    """Faults to inject into a share of the requests."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class HTTPMirrorPolicy(ApiModel):
    """One destination that gets copies of requests."""

    destination: Destination | None = None
    percentage: Percent | None = None


class CorsPolicy(ApiModel):
    """Cross-origin policy."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: Bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"


class HTTPRoute(ApiModel):
    """One rule: the first rule that matches decides."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: UInt32 | None = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


class TLSMatchAttributes(ApiModel):
    """What of a TLS connection decides, without ending the TLS."""

    sni_hosts: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_labels: dict[str, str] = Field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


class L4MatchAttributes(ApiModel):
    """What of a TCP connection decides."""

    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_subnet: str = ""
    source_labels: dict[str, str] = Field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


class RouteDestination(ApiModel):
    """One destination of a TCP or TLS route and its share."""

    destination: Destination | None = None
    weight: Int32 = 0


class TLSRoute(ApiModel):
    """One rule for TLS connections that pass through."""

    match: tuple[TLSMatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class TCPRoute(ApiModel):
    """One rule for TCP connections."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class VirtualServiceSpec(ApiModel):
    """`gateways` empty means the reserved gateway `mesh`: all sidecars. `exportTo` empty means all namespaces."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()


class VirtualService(Resource):
    """VirtualService."""

    spec: VirtualServiceSpec
