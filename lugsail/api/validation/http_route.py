"""The rules of one `http[]` entry of a VirtualService."""

import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus

from lugsail.api.grpc_status import GRPC_STATUSES
from lugsail.api.scalars import parse_duration
from lugsail.api.validation.headers import check_authority_once, check_cors_name, check_headers, check_matched_name
from lugsail.api.validation.names import check_gateway_names, check_labels, check_wildcard_host, is_dns_label
from lugsail.api.validation.place import Place
from lugsail.api.validation.values import (
    check_at_most_one,
    check_duration,
    check_not_negative,
    check_percent,
    check_port,
    check_regex,
)
from lugsail.api.virtual_service import (
    CorsPolicy,
    Destination,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    HTTPRouteDestination,
    L4MatchAttributes,
    RouteDestination,
    StringMatch,
    TLSMatchAttributes,
)

DIRECT_BODY_LIMIT_BYTES = 1024 * 1024
DIRECT_BODY_LARGE_BYTES = 100 * 1024

# What CORS may allow.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"))
# Envoy's x-envoy-retry-on and x-envoy-retry-grpc-on.
RETRY_ON = frozenset(
    (
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    )
)


def check_http_route(place: Place, route: HTTPRoute, *, is_delegate: bool) -> None:
    """`is_delegate`: the VirtualService has no hosts, so another one delegates to it."""
    _check_action(place, route, is_delegate)
    for index, match in enumerate(route.match):
        _check_match(place / "match" / index, match)
    check_headers(place / "headers", route.headers)
    check_authority_once(place, route.rewrite.authority if route.rewrite else "", route.headers)
    check_http_destinations(place / "route", route.route)
    _check_redirect(place / "redirect", route.redirect)
    _check_direct_response(place / "directResponse", route.direct_response)
    _check_rewrite(place / "rewrite", route.rewrite)
    _check_retries(place / "retries", route.retries)
    _check_fault(place / "fault", route.fault)
    _check_mirrors(place, route)
    _check_cors(place / "corsPolicy", route.cors_policy)
    check_duration(place / "timeout", route.timeout)


def _check_action(place: Place, route: HTTPRoute, is_delegate: bool) -> None:
    actions = {"route": bool(route.route), "redirect": route.redirect is not None}
    actions["directResponse"] = route.direct_response is not None
    given = [name for name, is_there in actions.items() if is_there]
    if route.delegate is not None:
        if given:
            place.fail(f"a rule that delegates cannot have {' or '.join(given)}", "keep `delegate` alone")
        if is_delegate:
            (place / "delegate").fail("a delegate cannot delegate again", "give it routes of its own")
        _check_delegate(place / "delegate", route)
        return
    if not given:
        place.fail("needs one of `route`, `redirect` and `directResponse`")
    elif len(given) > 1:
        place.fail(f"{' and '.join(given)} exclude each other", "keep one of them")
    if given and given[0] != "route":
        for name, is_there in (("fault", route.fault is not None), ("rewrite", route.rewrite is not None)):
            if is_there:
                (place / name).fail(f"has no place beside `{given[0]}`", "remove one of the two")


def _check_delegate(place: Place, route: HTTPRoute) -> None:
    delegate = route.delegate
    if delegate is None:
        return
    if not delegate.name:
        (place / "name").fail("is required", "name the VirtualService that holds the routes")
    if delegate.namespace and not is_dns_label(delegate.namespace):
        (place / "namespace").fail(f"{delegate.namespace!r} is not a namespace")


def check_string_match(place: Place, match: StringMatch | None, *, empty_prefix_allowed: bool = False) -> None:
    """At most one of exact, prefix and regex; none means that the value only has to be there."""
    if match is None:
        return
    check_at_most_one(place, (("exact", match.exact), ("prefix", match.prefix), ("regex", match.regex)))
    if match.prefix == "" and not empty_prefix_allowed:
        (place / "prefix").fail("must not be empty", "write {} for any value")
    if match.regex is not None:
        check_regex(place / "regex", match.regex)


def _check_match(place: Place, match: HTTPMatchRequest) -> None:
    check_string_match(place / "uri", match.uri, empty_prefix_allowed=True)
    for name in ("scheme", "method", "authority"):
        check_string_match(place / name, getattr(match, name))
    for name, wanted in match.headers.items():
        check_matched_name(place / "headers" / name, name)
        check_string_match(place / "headers" / name, wanted)
    for name, wanted in match.without_headers.items():
        check_matched_name(place / "withoutHeaders" / name, name)
        # "*" is no regular expression but stands for any value here.
        if wanted.regex != "*":
            check_string_match(place / "withoutHeaders" / name, wanted)
    for name, wanted in match.query_params.items():
        check_string_match(place / "queryParams" / name, wanted)
    check_where_from(place, match)


def check_where_from(place: Place, match: HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes) -> None:
    """Port, source labels, gateways and source namespace: what HTTP, TLS and TCP matches share."""
    if match.port:
        check_port(place / "port", match.port)
    check_labels(place / "sourceLabels", match.source_labels)
    check_gateway_names(place / "gateways", match.gateways)
    if match.source_namespace and not is_dns_label(match.source_namespace):
        (place / "sourceNamespace").fail(f"{match.source_namespace!r} is not a namespace")


def check_destination(place: Place, destination: Destination | None) -> None:
    """Host (a short name is resolved in the resource's own namespace), subset and port."""
    if destination is None:
        return
    if destination.host == "*":
        (place / "host").fail("a destination cannot be every host", "name one service")
    elif not destination.host:
        (place / "host").fail("is required", "name the service, such as reviews")
    else:
        check_wildcard_host(place / "host", destination.host)
    if destination.subset and not is_dns_label(destination.subset):
        (place / "subset").fail(f"{destination.subset!r} is not a subset name", "letters, digits and - are allowed")
    if destination.port is not None:
        check_port(place / "port" / "number", destination.port.number)


def check_http_destinations(place: Place, route: tuple[HTTPRouteDestination, ...]) -> None:
    """Destinations with their header changes and weights."""
    check_destinations(place, route)
    for index, entry in enumerate(route):
        check_headers(place / index / "headers", entry.headers)


def check_destinations(place: Place, route: Sequence[HTTPRouteDestination | RouteDestination]) -> None:
    """Every entry has a destination; weights are not negative and, for several, not all 0."""
    for index, entry in enumerate(route):
        if entry.destination is None:
            (place / index / "destination").fail("is required", "name the host to route to")
        check_destination(place / index / "destination", entry.destination)
        check_not_negative(place / index / "weight", entry.weight)
    if len(route) > 1 and sum(entry.weight for entry in route) == 0:
        place.fail("the weights add up to 0", "give each destination its share as `weight`")


def _check_redirect(place: Place, redirect: HTTPRedirect | None) -> None:
    if redirect is None:
        return
    check_at_most_one(place, (("port", redirect.port), ("derivePort", redirect.derive_port)))
    has_port = redirect.port is not None or redirect.derive_port is not None
    if not (redirect.uri or redirect.authority or redirect.scheme or has_port):
        place.fail("changes nothing", "give at least one of uri, authority, scheme, port and derivePort")
    if redirect.redirect_code and not 300 <= redirect.redirect_code <= 399:
        (place / "redirectCode").fail(f"{redirect.redirect_code} is not a redirect", "write 301, 302, 303, 307 or 308")
    if redirect.scheme not in ("", "http", "https"):
        (place / "scheme").fail(f"{redirect.scheme!r} is not a scheme", "write http or https")
    if redirect.port:
        check_port(place / "port", redirect.port)


def _check_direct_response(place: Place, response: HTTPDirectResponse | None) -> None:
    if response is None:
        return
    _check_status(place / "status", response.status)
    body = response.body
    if body is None:
        return
    check_at_most_one(place / "body", (("string", body.string), ("bytes", body.bytes)))
    size = len((body.string or "").encode())
    if body.bytes is not None:
        try:
            size = len(base64.b64decode(_standard_base64(body.bytes), validate=True))
        except (binascii.Error, ValueError):
            (place / "body" / "bytes").fail("is not base64", "encode the body as base64, or use `string`")
    if size > DIRECT_BODY_LIMIT_BYTES:
        (place / "body").fail(f"{size} bytes are more than the limit of {DIRECT_BODY_LIMIT_BYTES}")
    elif size > DIRECT_BODY_LARGE_BYTES:
        (place / "body").warn(f"{size} bytes travel with every push to every proxy", "serve it from a service")


def _standard_base64(text: str) -> str:
    """Protobuf's JSON takes both base64 alphabets, with padding or without."""
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    return bare + "=" * (-len(bare) % 4)


def _check_status(place: Place, status: int) -> None:
    if not 200 <= status <= 599:
        place.fail(f"{status} is not an HTTP status", "write 200 to 599")


def _check_rewrite(place: Place, rewrite: HTTPRewrite | None) -> None:
    if rewrite is None:
        return
    regex = rewrite.uri_regex_rewrite
    if rewrite.uri and regex is not None:
        place.fail("uri and uriRegexRewrite exclude each other", "keep one of them")
    if not rewrite.uri and not rewrite.authority and regex is None:
        place.fail("changes nothing", "give uri, uriRegexRewrite or authority")
    if regex is None:
        return
    here = place / "uriRegexRewrite"
    if not regex.match or not regex.rewrite:
        here.fail("needs both `match` and `rewrite`")
    else:
        check_regex(here / "match", regex.match)


def _check_retries(place: Place, retries: HTTPRetry | None) -> None:
    if retries is None:
        return
    check_not_negative(place / "attempts", retries.attempts)
    is_configured = bool(retries.retry_on) or retries.per_try_timeout is not None
    if retries.attempts == 0 and (is_configured or retries.retry_remote_localities is not None):
        place.fail("says how to retry, but `attempts` 0 turns retries off", "set attempts, or remove the rest")
    check_duration(place / "perTryTimeout", retries.per_try_timeout)
    check_duration(place / "backoff", retries.backoff)
    statuses = {str(status.value) for status in HTTPStatus}
    for term in retries.retry_on.split(",") if retries.retry_on else ():
        if term not in RETRY_ON and term not in statuses:
            hint = "remove the space" if term.strip() in RETRY_ON | statuses else "write such as 5xx,reset,503"
            (place / "retryOn").fail(f"{term!r} is not a retry condition", hint)


def _check_fault(place: Place, fault: HTTPFaultInjection | None) -> None:
    if fault is None:
        return
    delay, abort = fault.delay, fault.abort
    if delay is None and abort is None:
        place.fail("needs `delay` or `abort`")
    if delay is not None:
        here = place / "delay"
        check_percent(here / "percent", delay.percent)
        check_percent(here / "percentage" / "value", delay.percentage.value if delay.percentage else None)
        check_duration(here / "fixedDelay", delay.fixed_delay)
        if delay.exponential_delay is not None:
            (here / "exponentialDelay").fail("is not supported, in Istio neither", "use fixedDelay")
        elif delay.fixed_delay is None:
            here.warn("delays nothing", "set fixedDelay")
    if abort is not None:
        here = place / "abort"
        check_percent(here / "percentage" / "value", abort.percentage.value if abort.percentage else None)
        grpc_status, http2_error = abort.grpc_status, abort.http2_error
        kinds = (("httpStatus", abort.http_status), ("grpcStatus", grpc_status), ("http2Error", http2_error))
        if not check_at_most_one(here, kinds):
            here.warn("aborts nothing", "set httpStatus or grpcStatus")
        if abort.http_status is not None:
            _check_status(here / "httpStatus", abort.http_status)
        if grpc_status is not None and grpc_status not in GRPC_STATUSES:
            (here / "grpcStatus").fail(f"{grpc_status!r} is not a gRPC status", "write such as UNAVAILABLE")
        if http2_error is not None:
            (here / "http2Error").fail("is not supported, in Istio neither", "use httpStatus or grpcStatus")


def _check_mirrors(place: Place, route: HTTPRoute) -> None:
    if route.mirror is not None and route.mirrors:
        place.fail("mirror and mirrors exclude each other", "keep `mirrors`")
    check_destination(place / "mirror", route.mirror)
    check_percent(place / "mirrorPercent", route.mirror_percent)
    if route.mirror_percentage is not None:
        check_percent(place / "mirrorPercentage" / "value", route.mirror_percentage.value)
    for index, mirror in enumerate(route.mirrors):
        here = place / "mirrors" / index
        if mirror.destination is None:
            (here / "destination").fail("is required", "name the host to mirror to")
        check_destination(here / "destination", mirror.destination)
        check_percent(here / "percentage" / "value", mirror.percentage.value if mirror.percentage else None)
    if route.mirror is None and route.mirror_percentage is not None:
        (place / "mirrorPercentage").warn("has no effect without `mirror`", "give each of `mirrors` its percentage")


def _check_cors(place: Place, cors: CorsPolicy | None) -> None:
    if cors is None:
        return
    for index, origin in enumerate(cors.allow_origins):
        here = place / "allowOrigins" / index
        if not (origin.exact or origin.prefix or origin.regex):
            here.fail("matches no origin", "write exact, prefix or regex")
        else:
            check_string_match(here, origin)
    for index, method in enumerate(cors.allow_methods):
        if method not in _METHODS:
            hint = f"write {method.upper()}" if method.upper() in _METHODS else ""
            (place / "allowMethods" / index).fail(f"{method!r} is not an HTTP method", hint)
    for field, names in (("allowHeaders", cors.allow_headers), ("exposeHeaders", cors.expose_headers)):
        for index, name in enumerate(names):
            check_cors_name(place / field / index, name)
    check_duration(place / "maxAge", cors.max_age)
    if cors.max_age is not None and parse_duration(cors.max_age) % 1:
        (place / "maxAge").fail(f"{cors.max_age} is finer than a second", "write whole seconds")
