from __future__ import annotations

from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, RedirectAction
from envoy.config.route.v3.route_components_pb2 import RetryPolicy as RetryProto
from envoy.config.route.v3.route_components_pb2 import RouteAction as ActionProto

from sidecar.compiler.route_action import (
    Inherited,
    compile_action,
    compile_direct_response,
    compile_redirect,
    compile_retry,
)
from sidecar.config.rejected import At, Rejected
from sidecar.config.routes import PathRewrite, RouteAction, RouteMatch
from tests.sidecar.compiler.protos import STRANGER, proto

AT = At("r")
HOSTS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
PREDICATE = f"{{name: p, typed_config: {{'@type': {HOSTS}}}}}"
PRIORITY = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"


def action(text: str, match: RouteMatch | None = None) -> RouteAction:
    return compile_action(proto(ActionProto, text), match or RouteMatch(path=b"/old"), Inherited(), AT)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("{cluster: c}", "timeout_ms", 15_000.0),
        ("{cluster: c, timeout: 0s}", "timeout_ms", None),
        ("{cluster: c, timeout: 0.5s}", "timeout_ms", 500.0),
        ("{cluster: c}", "idle_timeout_ms", None),
        ("{cluster: c, idle_timeout: 0s}", "idle_timeout_ms", 0.0),
        ("{cluster: c, max_stream_duration: {max_stream_duration: 0s}}", "max_stream_duration_ms", 0.0),
        ("{cluster: c, max_stream_duration: {grpc_timeout_header_max: 1s}}", "max_stream_duration_ms", None),
        ("{cluster: c, max_grpc_timeout: 0s}", "max_stream_duration_ms", None),
        ("{cluster: c, cluster_not_found_response_code: NOT_FOUND}", "cluster_not_found_status", 404),
        ("{cluster: c, append_x_forwarded_host: true}", "append_x_forwarded_host", True),
        ("{cluster: c, prefix_rewrite: /new}", "path_rewrite", PathRewrite(replacement=b"/new", matched_len=4)),
        ("{cluster: c, auto_host_rewrite: false}", "host_rewrite", None),
    ],
)
def test_fields(text: str, field: str, value: Any) -> None:
    assert getattr(action(text), field) == value


def test_a_prefix_rewrite_behind_a_regex_replaces_the_path() -> None:
    rewrite = action("{cluster: c, prefix_rewrite: /new}", RouteMatch(path_kind="regex", path=b"")).path_rewrite
    assert rewrite == PathRewrite(replacement=b"/new", matched_len=None)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("{cluster: c, host_rewrite_literal: a}", "literal", b"a"),
        ("{cluster: c, host_rewrite_header: X-Host}", "header", b"x-host"),
        ("{cluster: c, auto_host_rewrite: true}", "auto", b""),
        ("{cluster: c, host_rewrite_path_regex: {pattern: {regex: /(.)}, substitution: '\\1'}}", "path_regex", b"\\1"),
    ],
)
def test_host_rewrites(text: str, kind: str, value: bytes) -> None:
    rewrite = action(text).host_rewrite
    assert rewrite is not None
    assert (rewrite.kind, rewrite.value) == (kind, value)


def test_mirrors() -> None:
    half = "{cluster: m, runtime_fraction: {default_value: {numerator: 50}}, disable_shadow_host_suffix_append: true}"
    first, second = action(f"{{cluster: c, request_mirror_policies: [{half}, {{cluster: n}}]}}").mirrors
    assert (first.cluster, first.fraction, first.append_shadow_suffix) == ("m", 0.5, False)
    assert (second.fraction, second.append_shadow_suffix) == (1.0, True)


def test_hash_policies() -> None:
    text = """
    cluster: c
    hash_policy:
    - {header: {header_name: X-User}, terminal: true}
    - {cookie: {name: user, ttl: 3600s, path: /, attributes: [{name: SameSite, value: Lax}]}}
    - {connection_properties: {source_ip: true}}
    - {query_parameter: {name: q}}
    """
    header, cookie, source, query = action(text).hash_policies
    assert (header.kind, header.name, header.terminal) == ("header", b"x-user", True)
    assert (cookie.kind, cookie.name, cookie.ttl_ms, cookie.path) == ("cookie", b"user", 3_600_000.0, b"/")
    assert cookie.attributes == ((b"SameSite", b"Lax"),)
    assert (source.kind, query.kind, query.name) == ("source_ip", "query", b"q")


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{}", "", "needs a cluster"),
        ("{cluster: ''}", "cluster", "empty"),
        ("{cluster_header: x}", "cluster_header", "not supported"),
        ("{cluster: c, metadata_match: {}}", "metadata_match", "not supported"),
        ("{cluster: c, internal_redirect_policy: {}}", "internal_redirect_policy", "not supported"),
        ("{cluster: c, upgrade_configs: [{upgrade_type: a}]}", "upgrade_configs", "not supported"),
        (
            "{cluster: c, retry_policy: {per_try_idle_timeout: 1s}}",
            "retry_policy.per_try_idle_timeout",
            "not supported",
        ),
        ("{cluster: c, priority: HIGH}", "priority", "only DEFAULT"),
        ("{cluster: c, hedge_policy: {}}", "hedge_policy", "not supported"),
        ("{cluster: c, rate_limits: [{}]}", "rate_limits", "not supported"),
        ("{cluster: c, timeout: -1s}", "timeout", "not a duration"),
        (
            "{cluster: c, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}",
            "regex_rewrite",
            "cannot stand beside",
        ),
        (
            "{cluster: c, regex_rewrite: {pattern: {regex: a}, substitution: '\\1'}}",
            "regex_rewrite.substitution",
            "asks for a group",
        ),
        ("{cluster: c, request_mirror_policies: [{}]}", "request_mirror_policies[0].cluster", "empty"),
        (
            "{cluster: c, request_mirror_policies: [{cluster_header: x}]}",
            "request_mirror_policies[0].cluster_header",
            "not supported",
        ),
        ("{cluster: c, hash_policy: [{}]}", "hash_policy[0]", "needs one of header"),
        ("{cluster: c, hash_policy: [{filter_state: {key: x}}]}", "hash_policy[0].filter_state", "not supported"),
        (
            "{cluster: c, hash_policy: [{connection_properties: {}}]}",
            "hash_policy[0].connection_properties.source_ip",
            "must be true",
        ),
    ],
)
def test_actions_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        action(text)
    assert caught.value.path == path


def test_retries() -> None:
    text = f"""
    retry_on: 5xx,reset , unknown-term
    num_retries: 3
    per_try_timeout: 0.5s
    retriable_status_codes: [503]
    retry_back_off: {{base_interval: 0.030s}}
    retry_host_predicate: [{PREDICATE}]
    host_selection_retry_max_attempts: 5
    retry_priority: {{name: p, typed_config: {{'@type': {PRIORITY}, update_frequency: 2}}}}
    """
    policy = compile_retry(proto(RetryProto, text), AT)
    assert policy is not None
    assert policy.retry_on == {"5xx", "reset"}
    assert (policy.num_retries, policy.per_try_timeout_ms) == (3, 500.0)
    assert (policy.base_interval_ms, policy.max_interval_ms) == (30.0, 300.0)
    assert policy.retriable_status_codes == {503}
    assert (policy.previous_hosts, policy.host_selection_attempts) == (True, 5)
    assert policy.previous_priorities_every == 2


def test_retry_defaults() -> None:
    policy = compile_retry(proto(RetryProto, "{retry_on: 5xx}"), AT)
    assert policy is not None
    assert (policy.num_retries, policy.base_interval_ms, policy.max_interval_ms) == (1, 25.0, 250.0)
    assert (policy.per_try_timeout_ms, policy.previous_hosts, policy.previous_priorities_every) == (None, False, None)


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{retry_back_off: {}}", "retry_back_off.base_interval", "more than 0s"),
        (
            "{retry_back_off: {base_interval: 1s, max_interval: 0.5s}}",
            "retry_back_off.max_interval",
            "no less than base_interval",
        ),
        ("{rate_limited_retry_back_off: {}}", "rate_limited_retry_back_off", "not supported"),
        (
            f"{{retry_host_predicate: [{{name: x, typed_config: {{'@type': {STRANGER}}}}}]}}",
            "retry_host_predicate[0].typed_config",
            "PreviousHostsPredicate is expected",
        ),
        (
            f"{{retry_priority: {{name: p, typed_config: {{'@type': {PRIORITY}}}}}}}",
            "retry_priority.typed_config.update_frequency",
            "1 or more",
        ),
    ],
)
def test_retries_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_retry(proto(RetryProto, text), AT)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ('{path_redirect: "/a\\r\\nx: y"}', "path_redirect", "control character"),
        ('{host_redirect: "a\\n"}', "host_redirect", "control character"),
        ("{port_redirect: 65536}", "port_redirect", "is not a port"),
        ("{regex_rewrite: {pattern: {regex: '('}}}", "regex_rewrite.pattern.regex", "invalid regex"),
    ],
)
def test_redirects_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_redirect(proto(RedirectAction, text), RouteMatch(), AT)
    assert caught.value.path == path


def test_direct_responses() -> None:
    found = compile_direct_response(proto(DirectResponseAction, "{status: 503, body: {inline_string: sorry}}"), AT)
    assert (found.status, found.body) == (503, b"sorry")
    assert compile_direct_response(proto(DirectResponseAction, "{status: 200}"), AT).body == b""
    for text, path in (
        ("{status: 100}", "status"),
        ("{status: 600}", "status"),
        ("{status: 200, body: {filename: /etc/passwd}}", "body"),
    ):
        with pytest.raises(Rejected) as caught:
            compile_direct_response(proto(DirectResponseAction, text), AT)
        assert caught.value.path == path
