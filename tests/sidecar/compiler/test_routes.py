from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from envoy.config.route.v3.route_pb2 import RouteConfiguration as RouteConfigurationProto
from google.protobuf.json_format import ParseDict

from sidecar.compiler.routes import RouteCompiler, compile_route_configuration
from sidecar.config.rejected import Rejected
from sidecar.config.routes import Route
from sidecar.filters.base import DISABLED
from sidecar.filters.fault import FaultSettings
from tests.sidecar.compiler.protos import FAULT, STRANGER, proto, with_routes

NAME = "envoy.filters.http.fault"
TO_C = "match: {prefix: /}, route: {cluster: c}"


def only(*routes: str, host: dict[str, Any] | None = None, **top: Any) -> Route:
    return compile_route_configuration(with_routes(*routes, host=host, **top)).virtual_hosts[0].routes[0]


def header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}}


def test_a_route_tells_where_it_came_from_and_what_its_host_wants() -> None:
    route = only(
        f"{{name: n, {TO_C}, stat_prefix: s, metadata: {{filter_metadata: {{istio: {{config: /apis/x}}}}}}}}",
        host={"include_request_attempt_count": True, "include_attempt_count_in_response": True},
    )
    assert (route.name, route.source, route.virtual_host) == ("n", "/apis/x", "v")
    assert (route.include_request_attempt_count, route.include_attempt_count_in_response) == (True, True)
    assert route.action is not None
    assert (route.action.cluster, route.action.timeout_ms) == ("c", 15_000.0)


def test_header_changes_of_all_levels_apply_the_most_specific_first() -> None:
    branches = "[{name: a, weight: 1, request_headers_to_add: [{header: {key: n, value: branch}}]}]"
    text = (
        f"{{match: {{prefix: /}}, request_headers_to_add: [{{header: {{key: n, value: route}}}}], "
        f"route: {{weighted_clusters: {{clusters: {branches}}}}}}}"
    )
    for wins, expected in (
        (False, [b"branch", b"route", b"host", b"top"]),
        (True, [b"top", b"host", b"route", b"branch"]),
    ):
        route = only(
            text,
            host={"request_headers_to_add": [header("n", "host")]},
            request_headers_to_add=[header("n", "top")],
            most_specific_header_mutations_wins=wins,
        )
        assert route.split is not None
        levels = route.split.routes[0].request_headers
        assert [level.change[0].value for level in levels] == expected


def test_the_most_specific_filter_settings_count() -> None:
    def fault(status: int) -> dict[str, Any]:
        return {NAME: {"@type": FAULT, "abort": {"http_status": status, "percentage": {"numerator": 100}}}}

    def status(route: Route) -> Any:
        found = route.filter_configs.get(NAME)
        return found.abort_status if isinstance(found, FaultSettings) else found

    plain = {"match": {"prefix": "/"}, "route": {"cluster": "c"}}
    own = {**plain, "typed_per_filter_config": fault(503)}
    off = {
        **plain,
        "typed_per_filter_config": {
            NAME: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
        },
    }
    wrapped = {
        **plain,
        "typed_per_filter_config": {
            NAME: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": fault(504)[NAME]}
        },
    }
    host = {"typed_per_filter_config": fault(502)}
    routes = compile_route_configuration(
        with_routes(own, plain, off, wrapped, host=host, typed_per_filter_config=fault(501))  # type: ignore[arg-type]
    )
    assert [status(route) for route in routes.virtual_hosts[0].routes] == [503, 502, DISABLED, 504]
    assert status(only(plain, typed_per_filter_config=fault(501))) == 501  # type: ignore[arg-type]


def test_retries_and_mirrors_are_inherited() -> None:
    host = {"retry_policy": {"retry_on": "5xx"}, "request_mirror_policies": [{"cluster": "m"}]}
    route = only(f"{{{TO_C}}}", host=host)
    assert route.action is not None
    assert route.action.retry is not None
    assert route.action.retry.retry_on == {"5xx"}
    assert [mirror.cluster for mirror in route.action.mirrors] == ["m"]
    route = only(
        "{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: reset}, "
        "request_mirror_policies: [{cluster: n}]}}",
        host=host,
    )
    assert route.action is not None
    assert route.action.retry is not None
    assert route.action.retry.retry_on == {"reset"}
    assert [mirror.cluster for mirror in route.action.mirrors] == ["n"]


def test_branches_are_whole_routes() -> None:
    clusters = "[{name: a, weight: 30, host_rewrite_literal: other}, {name: b, weight: 70}]"
    route = only(
        f"{{name: n, match: {{prefix: /}}, route: {{timeout: 2s, weighted_clusters: {{clusters: {clusters}}}}}}}"
    )
    assert route.split is not None
    assert route.split.bounds == (30, 100)
    assert route.split.total == 100
    first, second = (branch.action for branch in route.split.routes)
    assert first is not None
    assert second is not None
    assert (first.cluster, first.timeout_ms, first.host_rewrite and first.host_rewrite.value) == ("a", 2000.0, b"other")
    assert (second.cluster, second.host_rewrite) == ("b", None)
    assert {branch.name for branch in route.split.routes} == {"n"}


def test_the_clusters_of_a_configuration() -> None:
    configuration = compile_route_configuration(
        with_routes(
            f"{{{TO_C}}}",
            "{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 1}]}, "
            "request_mirror_policies: [{cluster: m}]}}",
            "{match: {prefix: /}, redirect: {}}",
            request_mirror_policies=[{"cluster": "top"}],
        )
    )
    assert configuration.clusters == {"a", "c", "m", "top"}


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ("[{name: a, domains: [x]}, {name: b, domains: [y, X]}]", "Only unique values for domains are permitted"),
        ("[{name: a, domains: ['*']}, {name: b, domains: ['*']}]", "Duplicate entry of domain '\\*'"),
        ("[{name: a, domains: [x, x]}]", "Only unique values"),
        ("[{name: a, domains: [x]}, {name: a, domains: [y]}]", "unique names"),
        ("[{name: a}]", "domains: empty"),
        ("[{domains: [x]}]", "name: empty"),
        ("[{name: a, domains: ['a.*.b']}]", "a wildcard may only be the first or the last"),
        ("[{name: a, domains: ['*.a.*']}]", "a wildcard may only be"),
        ("[{name: a, domains: ['']}]", "a wildcard may only be"),
        ("[{name: a, domains: [x], hedge_policy: {initial_requests: 2}}]", "hedge_policy: is not supported"),
        ("[{name: a, domains: [x], cors: {}}]", "cors: is not supported"),
    ],
)
def test_virtual_hosts_refused(hosts: str, reason: str) -> None:
    configuration = proto(RouteConfigurationProto, f"{{name: r, virtual_hosts: {hosts}}}")
    with pytest.raises(Rejected, match=reason) as caught:
        compile_route_configuration(configuration)
    assert caught.value.resource == "r"
    assert caught.value.path.startswith("virtual_hosts[")


@pytest.mark.parametrize(
    ("route", "path", "reason"),
    [
        ("{match: {prefix: /}}", "", "needs one of route, redirect"),
        ("{route: {cluster: c}}", "match", "needs one of prefix"),
        ("{match: {prefix: /}, non_forwarding_action: {}}", "non_forwarding_action", "not supported"),
        ("{match: {connect_matcher: {}}, route: {cluster: c}}", "match.connect_matcher", "not supported"),
        (
            "{match: {path_match_policy: {name: x}}, route: {cluster: c}}",
            "match.path_match_policy",
            "not supported",
        ),
        ("{match: {path_separated_prefix: /a/}, route: {cluster: c}}", "match.path_separated_prefix", "must begin"),
        ("{match: {path_separated_prefix: a}, route: {cluster: c}}", "match.path_separated_prefix", "must begin"),
        ("{match: {safe_regex: {regex: '('}}, route: {cluster: c}}", "match.safe_regex.regex", "invalid regex"),
        ("{match: {safe_regex: {}}, route: {cluster: c}}", "match.safe_regex.regex", "empty regex"),
        (
            "{match: {prefix: /, headers: [{name: a}, {name: b, string_match: {}}]}, route: {cluster: c}}",
            "match.headers[1].string_match",
            "needs one of exact",
        ),
        (
            "{match: {prefix: /, query_parameters: [{}]}, route: {cluster: c}}",
            "match.query_parameters[0].name",
            "empty",
        ),
        (
            "{match: {prefix: /, dynamic_metadata: [{}]}, route: {cluster: c}}",
            "match.dynamic_metadata",
            "not supported",
        ),
        (
            "{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a}]}}}",
            "route.weighted_clusters",
            "sum up to 0",
        ),
        (
            "{match: {prefix: /}, route: {weighted_clusters: {clusters: [{weight: 1}]}}}",
            "route.weighted_clusters.clusters[0].name",
            "empty",
        ),
        (
            "{match: {prefix: /}, route: {weighted_clusters: {header_name: x, clusters: [{name: a, weight: 1}]}}}",
            "route.weighted_clusters.header_name",
            "not supported",
        ),
        (
            f"{{{TO_C}, typed_per_filter_config: {{x: {{'@type': {STRANGER}}}}}}}",
            "typed_per_filter_config[x]",
            "belong to no filter",
        ),
        (f"{{{TO_C}, per_request_buffer_limit_bytes: 5}}", "per_request_buffer_limit_bytes", "not supported"),
    ],
)
def test_routes_refused(route: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_route_configuration(with_routes("{match: {prefix: /x}, redirect: {}}", route))
    assert caught.value.path == ".".join(filter(None, ("virtual_hosts[0].routes[1]", path)))


def test_optional_settings_of_unknown_filters_are_let_be() -> None:
    route = only(
        f"{{{TO_C}, typed_per_filter_config: {{x: {{'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, "
        f"is_optional: true, config: {{'@type': {STRANGER}}}}}}}}}"
    )
    assert route.filter_configs == {}


def test_configuration_fields_not_honoured_are_refused() -> None:
    with pytest.raises(Rejected, match="r: vhds: is not supported"):
        compile_route_configuration(proto(RouteConfigurationProto, "{name: r, vhds: {config_source: {ads: {}}}}"))


def two_hosts(first: str, second: str, **top: Any) -> RouteConfigurationProto:
    hosts = [
        {"name": name, "domains": [name], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}
        for name, cluster in (("a", first), ("b", second))
    ]
    return ParseDict({"name": "80", "virtual_hosts": hosts, **top}, RouteConfigurationProto())


def test_only_the_virtual_host_that_changed_is_compiled_again() -> None:
    compiler = RouteCompiler()
    before = compiler.compile(two_hosts("one", "two"))
    after = compiler.compile(two_hosts("one", "three"))
    assert asdict(after) == asdict(compile_route_configuration(two_hosts("one", "three")))
    assert after.virtual_hosts[0] is before.virtual_hosts[0]
    assert (before.clusters, after.clusters) == ({"one", "two"}, {"one", "three"})


def test_what_all_virtual_hosts_inherit_compiles_all_of_them_again() -> None:
    compiler = RouteCompiler()
    compiler.compile(two_hosts("one", "two"))
    proto = two_hosts("one", "two", request_headers_to_add=[header("n", "top")])
    assert asdict(compiler.compile(proto)) == asdict(compile_route_configuration(proto))


def test_a_refused_version_leaves_the_kept_hosts_as_they_are() -> None:
    compiler = RouteCompiler()
    before = compiler.compile(two_hosts("one", "two"))
    bad = two_hosts("one", "two")
    bad.virtual_hosts[1].domains.append("a")
    with pytest.raises(Rejected, match=r"virtual_hosts\[1\].domains: Only unique values"):
        compiler.compile(bad)
    assert compiler.compile(two_hosts("one", "two")).virtual_hosts[1] is before.virtual_hosts[1]


def test_a_forgotten_configuration_is_compiled_from_the_start() -> None:
    compiler = RouteCompiler()
    before = compiler.compile(two_hosts("one", "two"))
    compiler.forget({"80"})
    after = compiler.compile(two_hosts("one", "two"))
    assert asdict(after) == asdict(before) and after.virtual_hosts[0] is not before.virtual_hosts[0]
