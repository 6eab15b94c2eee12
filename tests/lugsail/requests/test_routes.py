from __future__ import annotations

from typing import Any

import pytest

from lugsail.requests.line import Line
from lugsail.requests.routes import RouteHistory, RouteTable
from tests.lugsail.requests.lines import T, client

V1, V2 = (f"outbound|9080|{v}|reviews.default.svc.cluster.local" for v in ("v1", "v2"))
JASON = {"prefix": "/", "headers": [{"name": "end-user", "string_match": {"exact": "jason"}}]}


def route(rule: int, cluster: str | None = V1, match: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    own = {"rule": f"http[{rule}]", "match": f"http[{rule}].match[0]"}
    if more.get("name"):
        own["name"] = more["name"]
    config = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"
    out = {"match": match or {"prefix": "/"}, "metadata": {"filter_metadata": {"istio": {"config": config}}}, **more}
    out["metadata"]["filter_metadata"]["lugsail"] = own
    return out | ({"route": {"cluster": cluster}} if cluster else {})


def table(
    *routes: dict[str, Any], name: str = "9080", domains: tuple[str, ...] = ("reviews",), since: str = ""
) -> RouteTable:
    host = {"name": "h", "domains": list(domains), "routes": list(routes)}
    other = {"name": "allow_any", "domains": ["*"], "routes": [PASSTHROUGH]}
    config = {"name": name, "virtual_hosts": [host, other], "ignore_port_in_host_matching": True}
    return RouteTable([{"last_updated": since, "route_config": config}])


PASSTHROUGH = {"name": "allow_any", "match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}
DEFAULT = {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": V1}}


def shown(found: RouteTable, **line: Any) -> str:
    return found.verdict(client(**{"cluster": V1, **line})).shown


def test_the_cluster_tells_rules_with_header_conditions_apart() -> None:
    found = table(route(0, V2, JASON), route(1, V1))
    assert shown(found, cluster=V2) == "VirtualService reviews.default http[0]"
    assert shown(found, cluster=V1) == "VirtualService reviews.default http[1]"


def test_what_cannot_be_told_is_said() -> None:
    assert shown(table(route(0, V1, JASON), route(1, V1))) == "VirtualService reviews.default one of http[0], http[1]"


def test_a_route_that_takes_everything_hides_those_behind() -> None:
    assert shown(table(route(0, V1), route(1, V1))) == "VirtualService reviews.default http[0]"


def test_names_of_rules() -> None:
    found = table(route(0, V1, JASON, name="for-jason"), route(1, V1))
    assert shown(found, route_name="for-jason") == "VirtualService reviews.default http[0] (for-jason)"
    assert shown(found) == "VirtualService reviews.default http[1]"


@pytest.mark.parametrize(
    ("match", "line", "fits"),
    [
        ({"path": "/a"}, {"path": "/a?b=1"}, True),
        ({"path": "/a"}, {"path": "/a/b"}, False),
        ({"path": "/A", "case_sensitive": False}, {"path": "/a"}, True),
        ({"path_separated_prefix": "/a"}, {"path": "/a/b"}, True),
        ({"path_separated_prefix": "/a"}, {"path": "/ab"}, False),
        ({"safe_regex": {"regex": "/a/[0-9]+"}}, {"path": "/a/17"}, True),
        ({"safe_regex": {"regex": "/a/[0-9]+"}}, {"path": "/a/17x"}, False),
        ({"safe_regex": {"regex": "("}}, {"path": "/a"}, None),
        ({"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "PUT"}}]}, {}, False),
        ({"prefix": "/", "headers": [{"name": ":authority", "string_match": {"prefix": "rev"}}]}, {}, True),
        ({"prefix": "/", "headers": [{"name": "user-agent", "present_match": True}]}, {"user_agent": "x"}, True),
        ({"prefix": "/", "headers": [{"name": "user-agent", "present_match": True}]}, {}, None),
        (
            {
                "prefix": "/",
                "headers": [{"name": "user-agent", "string_match": {"contains": "curl"}, "invert_match": True}],
            },
            {"user_agent": "curl/8"},
            False,
        ),
        ({"prefix": "/", "query_parameters": [{"name": "q", "string_match": {"exact": "1"}}]}, {"path": "/?q=1"}, True),
        ({"prefix": "/", "query_parameters": [{"name": "q", "present_match": True}]}, {"path": "/?p"}, False),
        ({"prefix": "/", "runtime_fraction": {}}, {}, None),
    ],
)
def test_matches(match: dict[str, Any], line: dict[str, Any], fits: bool | None) -> None:
    """A rule that fits for sure is it, one that does not is not, else it is one of two."""
    found = table(route(0, V1, match), route(1, V1))
    expected = {True: "http[0]", False: "http[1]", None: "one of http[0], http[1]"}[fits]
    assert shown(found, **line) == f"VirtualService reviews.default {expected}"


def test_routes_without_a_rule() -> None:
    assert shown(table(DEFAULT), route_name="default") == "default route"
    passed = {"authority": "example.org", "cluster": "PassthroughCluster", "route_name": "allow_any"}
    assert shown(table(DEFAULT), **passed) == "passthrough: not in the mesh"
    assert shown(table(DEFAULT), cluster="", flags=("NR",), code=404) == "no rule matches"
    assert shown(table(DEFAULT), cluster="BlackHoleCluster") == "blocked: not in the mesh"


def test_hosts_as_envoy_takes_them() -> None:
    found = table(route(0), domains=("*.example.org", "x.example.org:80"))
    passed = {"cluster": "PassthroughCluster", "route_name": "allow_any"}
    assert shown(found, authority="a.example.org:9080").endswith("http[0]")
    assert shown(found, authority="example.org", **passed) == "passthrough: not in the mesh"
    assert shown(table(route(0), domains=("REVIEWS",)), authority="Reviews").endswith("http[0]")
    assert shown(table(route(0), domains=("[::1]",)), authority="[::1]:9080").endswith("http[0]")


def test_a_log_that_contradicts_the_routes_gets_no_rule() -> None:
    assert shown(table(route(0, V2))) == "? (no route of the proxy fits)"
    assert shown(table(route(0, V2), route(1, V1))) == "? (no route of the proxy fits)"


def test_redirects_and_direct_responses_go_nowhere() -> None:
    found = table(route(0, None, {"path": "/old"}, redirect={}), route(1, V1))
    assert shown(found, path="/old", cluster="", code=301).endswith("http[0]")
    assert shown(found, path="/old") == "? (no route of the proxy fits)"


def test_faults_tell_rules_apart() -> None:
    def fault(numerator: int) -> dict[str, Any]:
        percentage = {"numerator": numerator, "denominator": "MILLION"}
        return {"envoy.filters.http.fault": {"abort": {"percentage": percentage}}}

    always = table(route(0, V1, JASON, typed_per_filter_config=fault(1_000_000)), route(1, V1))
    aborted = {"flags": ("FI",), "code": 500, "upstream_host": ""}
    assert shown(always, **aborted) == "VirtualService reviews.default http[0]"
    assert shown(always) == "VirtualService reviews.default http[1]"
    half = table(route(0, V1, JASON, typed_per_filter_config=fault(500_000)), route(1, V1))
    assert shown(half, **aborted) == "VirtualService reviews.default http[0]"
    assert shown(half) == "VirtualService reviews.default one of http[0], http[1]"


def test_a_rewritten_host_is_found_where_it_came_from() -> None:
    rewriting = route(0, V2)
    rewriting["route"]["host_rewrite_literal"] = "reviews.example.org"
    assert shown(table(rewriting), cluster=V2, authority="reviews.example.org").endswith("http[0]")


def test_the_port_chooses_the_configuration() -> None:
    first = table(route(0), name="9080")._configs
    both = table(route(1), name="http.8080")
    both._configs += first
    assert shown(both, downstream_local="10.0.0.1:9080").endswith("http[0]")
    assert shown(both, downstream_local="10.0.0.1:8080").endswith("http[1]")


def at(start: float) -> Line:
    return client(start, cluster=V1)


def test_each_request_is_judged_by_the_routes_of_its_time() -> None:
    history = RouteHistory()
    assert history.verdict(at(T)).shown == "? (the proxy's routes could not be asked for)"
    history.add(table(route(0), since="2023-11-14T22:13:20Z"), T + 1)  # in force since T
    assert history.verdict(at(T)).shown.endswith("http[0]")
    assert history.verdict(at(T - 1)).shown == "? (routes changed since)"
    assert history.verdict(at(T + 2)).shown == "? (its routes may have changed)"
    history.add(table(route(1), since="2023-11-14T22:13:22Z"), T + 5)
    history.confirm(T + 7)
    assert [history.verdict(at(T + n)).shown[-7:] for n in (0, 1, 2, 7)] == ["http[0]", "http[0]", "http[1]", "http[1]"]


def test_as_json() -> None:
    found = table(route(0, V1, JASON, name="a"), route(1, V1))
    one = found.verdict(client(cluster=V1, route_name="a")).to_dict()
    assert one == {
        "kind": "VirtualService",
        "resource": "reviews.default",
        "rule": "http[0]",
        "match": "http[0].match[0]",
        "name": "a",
    }
    several = table(route(0, V1, JASON), route(1, V1)).verdict(client(cluster=V1)).to_dict()
    assert [each["rule"] for each in several["one_of"]] == ["http[0]", "http[1]"]
