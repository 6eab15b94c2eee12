"""What a route does: forward (with retry and hash policies), redirect, or answer itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from envoy.extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2 import (
    PreviousPrioritiesConfig,
)

from sidecar.compiler.ignored import check
from sidecar.compiler.route_match import compile_headers
from sidecar.config.protos import duration_ms, regex_rewrite, runtime_fraction, timeout_ms, unpack, wrapped
from sidecar.config.rejected import At
from sidecar.config.routes import (
    DirectResponse,
    HashPolicy,
    HostRewrite,
    MirrorPolicy,
    PathRewrite,
    Redirect,
    RetryPolicy,
    RouteAction,
    RouteMatch,
)

DEFAULT_TIMEOUT_MS = 15_000.0
_ACTION_FIELDS = (
    "cluster",
    "weighted_clusters",
    "cluster_not_found_response_code",
    "prefix_rewrite",
    "regex_rewrite",
    "host_rewrite_literal",
    "auto_host_rewrite",
    "host_rewrite_header",
    "host_rewrite_path_regex",
    "append_x_forwarded_host",
    "timeout",
    "idle_timeout",
    "retry_policy",
    "request_mirror_policies",
    "priority",
    "hash_policy",
    "max_stream_duration",
)
_RETRY_FIELDS = (
    "retry_on",
    "num_retries",
    "per_try_timeout",
    "retry_priority",
    "retry_host_predicate",
    "host_selection_retry_max_attempts",
    "retriable_status_codes",
    "retry_back_off",
    "retriable_headers",
    "retriable_request_headers",
)
#: The terms of x-envoy-retry-on and x-envoy-retry-grpc-on.
RETRY_TERMS = frozenset(
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
_REDIRECT_STATUS = (301, 302, 303, 307, 308)
_NOT_FOUND_STATUS = (503, 404, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a virtual host and its route configuration say where a route does not."""

    retry: RetryPolicy | None = None
    mirrors: tuple[MirrorPolicy, ...] = ()


def compile_action(action: Any, match: RouteMatch, inherited: Inherited, at: At) -> RouteAction:
    """envoy.config.route.v3.RouteAction without its choice of cluster: `cluster` is "" where the route has a split."""
    check(action, _ACTION_FIELDS, at)
    if action.WhichOneof("cluster_specifier") is None:
        at.reject("needs a cluster or weighted_clusters")
    if action.WhichOneof("cluster_specifier") == "cluster" and not action.cluster:
        at.field("cluster").reject("empty; name the cluster")
    if action.priority:
        at.field("priority").reject("only DEFAULT is supported: requests have one set of circuit breakers")
    retry = inherited.retry
    if action.HasField("retry_policy"):
        retry = compile_retry(action.retry_policy, at.field("retry_policy"))
    mirrors = compile_mirrors(action.request_mirror_policies, at) or inherited.mirrors
    return RouteAction(
        cluster=action.cluster,
        timeout_ms=timeout_ms(action, "timeout", at, DEFAULT_TIMEOUT_MS),
        idle_timeout_ms=duration_ms(action, "idle_timeout", at),
        max_stream_duration_ms=_stream_duration(action, at),
        retry=retry,
        path_rewrite=_path_rewrite(action, match, at),
        host_rewrite=_host_rewrite(action, at),
        append_x_forwarded_host=action.append_x_forwarded_host,
        mirrors=mirrors,
        hash_policies=tuple(_hash(policy, at.field("hash_policy", i)) for i, policy in enumerate(action.hash_policy)),
        cluster_not_found_status=_NOT_FOUND_STATUS[action.cluster_not_found_response_code],
    )


def _stream_duration(action: Any, at: At) -> float | None:
    """The longest life of the stream, as RouteAction's field says."""
    if not action.HasField("max_stream_duration"):
        return None
    place = at.field("max_stream_duration")
    check(action.max_stream_duration, ("max_stream_duration",), place)
    return duration_ms(action.max_stream_duration, "max_stream_duration", place)


def _path_rewrite(action: Any, match: RouteMatch, at: At) -> PathRewrite | None:
    if action.HasField("regex_rewrite"):
        if action.prefix_rewrite:
            at.field("regex_rewrite").reject("cannot stand beside prefix_rewrite; keep one of the two")
        pattern, template = regex_rewrite(action.regex_rewrite, at.field("regex_rewrite"))
        return PathRewrite(regex=pattern, replacement=template)
    return _prefix_rewrite(action.prefix_rewrite, match)


def _prefix_rewrite(replacement: str, match: RouteMatch) -> PathRewrite | None:
    if not replacement:
        return None
    matched_len = None if match.path_kind == "regex" else len(match.path)
    return PathRewrite(replacement=replacement.encode(), matched_len=matched_len)


def _host_rewrite(action: Any, at: At) -> HostRewrite | None:
    specifier = action.WhichOneof("host_rewrite_specifier")
    if specifier == "host_rewrite_literal":
        return HostRewrite(kind="literal", value=action.host_rewrite_literal.encode())
    if specifier == "host_rewrite_header":
        return HostRewrite(kind="header", value=action.host_rewrite_header.lower().encode())
    if specifier == "host_rewrite_path_regex":
        pattern, template = regex_rewrite(action.host_rewrite_path_regex, at.field(specifier))
        return HostRewrite(kind="path_regex", regex=pattern, value=template)
    if specifier == "auto_host_rewrite" and action.auto_host_rewrite.value:
        return HostRewrite(kind="auto")
    return None


def compile_mirrors(policies: Iterable[Any], at: At) -> tuple[MirrorPolicy, ...]:
    """`request_mirror_policies` of a route, virtual host or route configuration."""
    mirrors = []
    for index, policy in enumerate(policies):
        place = at.field("request_mirror_policies", index)
        check(policy, ("cluster", "runtime_fraction", "disable_shadow_host_suffix_append"), place)
        if not policy.cluster:
            place.field("cluster").reject("empty; name the cluster to mirror to")
        share = runtime_fraction(policy.runtime_fraction) if policy.HasField("runtime_fraction") else 1.0
        suffix = not policy.disable_shadow_host_suffix_append
        mirrors.append(MirrorPolicy(cluster=policy.cluster, fraction=share, append_shadow_suffix=suffix))
    return tuple(mirrors)


def compile_retry(policy: Any, at: At) -> RetryPolicy | None:
    """envoy.config.route.v3.RetryPolicy. Terms of retry_on that are not known are left out, as Envoy does."""
    check(policy, _RETRY_FIELDS, at)
    base_ms, max_ms = 25.0, 250.0
    if policy.HasField("retry_back_off"):
        place = at.field("retry_back_off")
        base_ms = timeout_ms(policy.retry_back_off, "base_interval", place) or 0.0
        if not base_ms:
            place.field("base_interval").reject("must be more than 0s")
        base_ms = max(base_ms, 1.0)
        max_ms = duration_ms(policy.retry_back_off, "max_interval", place, base_ms * 10) or 0.0
        if max_ms < base_ms:
            place.field("max_interval").reject("must be no less than base_interval")
    return RetryPolicy(
        retry_on=frozenset(term.strip() for term in policy.retry_on.split(",")) & RETRY_TERMS,
        num_retries=wrapped(policy, "num_retries", 1),
        per_try_timeout_ms=timeout_ms(policy, "per_try_timeout", at),
        base_interval_ms=base_ms,
        max_interval_ms=max_ms,
        retriable_status_codes=frozenset(policy.retriable_status_codes),
        retriable_headers=compile_headers(policy.retriable_headers, at, "retriable_headers"),
        retriable_request_headers=compile_headers(policy.retriable_request_headers, at, "retriable_request_headers"),
        previous_hosts=_previous_hosts(policy, at),
        host_selection_attempts=max(policy.host_selection_retry_max_attempts, 1),
        previous_priorities_every=_previous_priorities(policy, at),
    )


def _previous_hosts(policy: Any, at: At) -> bool:
    for index, predicate in enumerate(policy.retry_host_predicate):
        place = at.field("retry_host_predicate", index)
        unpack(predicate.typed_config, PreviousHostsPredicate, place.field("typed_config"))
    return bool(policy.retry_host_predicate)


def _previous_priorities(policy: Any, at: At) -> int | None:
    if not policy.HasField("retry_priority"):
        return None
    place = at.field("retry_priority.typed_config")
    settings = unpack(policy.retry_priority.typed_config, PreviousPrioritiesConfig, place)
    if settings.update_frequency < 1:
        place.field("update_frequency").reject("must be 1 or more")
    return int(settings.update_frequency)


def _hash(policy: Any, at: At) -> HashPolicy:
    check(policy, ("header", "cookie", "connection_properties", "query_parameter", "terminal"), at)
    specifier = policy.WhichOneof("policy_specifier")
    if specifier == "header":
        place = at.field("header")
        check(policy.header, ("header_name", "regex_rewrite"), place)
        pattern, template = None, b""
        if policy.header.HasField("regex_rewrite"):
            pattern, template = regex_rewrite(policy.header.regex_rewrite, place.field("regex_rewrite"))
        name = policy.header.header_name.lower().encode()
        return HashPolicy(kind="header", name=name, regex=pattern, replacement=template, terminal=policy.terminal)
    if specifier == "cookie":
        cookie = policy.cookie
        return HashPolicy(
            kind="cookie",
            name=cookie.name.encode(),
            ttl_ms=duration_ms(cookie, "ttl", at.field("cookie")),
            path=cookie.path.encode(),
            attributes=tuple((item.name.encode(), item.value.encode()) for item in cookie.attributes),
            terminal=policy.terminal,
        )
    if specifier == "connection_properties":
        if not policy.connection_properties.source_ip:
            at.field("connection_properties.source_ip").reject("must be true; there is no other property")
        return HashPolicy(kind="source_ip", terminal=policy.terminal)
    if specifier == "query_parameter":
        return HashPolicy(kind="query", name=policy.query_parameter.name.encode(), terminal=policy.terminal)
    at.reject("needs one of header, cookie, connection_properties, query_parameter")


def compile_redirect(redirect: Any, match: RouteMatch, at: At) -> Redirect:
    """envoy.config.route.v3.RedirectAction."""
    rewrite = None
    specifier = redirect.WhichOneof("path_rewrite_specifier")
    if specifier == "regex_rewrite":
        pattern, template = regex_rewrite(redirect.regex_rewrite, at.field("regex_rewrite"))
        rewrite = PathRewrite(regex=pattern, replacement=template)
    elif specifier == "prefix_rewrite":
        rewrite = _prefix_rewrite(redirect.prefix_rewrite, match)
    for field in ("host_redirect", "path_redirect", "scheme_redirect"):
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in getattr(redirect, field)):
            at.field(field).reject("holds a control character")
    if redirect.port_redirect > 65535:
        at.field("port_redirect").reject(f"{redirect.port_redirect} is not a port; give 1 to 65535")
    return Redirect(
        status=_REDIRECT_STATUS[redirect.response_code],
        scheme=redirect.scheme_redirect.lower().encode() or None,
        https=redirect.https_redirect,
        host=redirect.host_redirect.encode() or None,
        port=redirect.port_redirect or None,
        path=redirect.path_redirect.encode() or None,
        path_rewrite=rewrite,
        strip_query=redirect.strip_query,
    )


def compile_direct_response(response: Any, at: At) -> DirectResponse:
    """envoy.config.route.v3.DirectResponseAction; the body comes inline, since a proxy reads no files for others."""
    check(response, ("status", "body"), at)
    if not 200 <= response.status <= 599:
        at.field("status").reject(f"{response.status} is not a final HTTP status; give 200 to 599")
    body = b""
    if response.HasField("body"):
        specifier = response.body.WhichOneof("specifier")
        if specifier not in ("inline_string", "inline_bytes"):
            at.field("body").reject("only inline_string and inline_bytes are supported")
        body = response.body.inline_bytes or response.body.inline_string.encode()
    return DirectResponse(status=response.status, body=body)
