"""Expectations come from asking Envoy 1.40 the same; a slow matcher that tries everything checks the tables."""

from __future__ import annotations

from collections import Counter

import pytest
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.codec.headers import RequestHeaders
from sidecar.compiler.routes import RouteCompiler, compile_route_configuration
from sidecar.config.routes import Route
from sidecar.router.match import RouteTable, query_parameters, split_path, without_port
from tests.sidecar.compiler.protos import proto, with_routes


def table(*matches: str, **top: object) -> RouteTable:
    """Routes "0", "1" … with these matches."""
    routes = [f"{{name: '{i}', match: {match}, route: {{cluster: c}}}}" for i, match in enumerate(matches)]
    return RouteTable(compile_route_configuration(with_routes(*routes, **top)))


def get(path: bytes = b"/", authority: bytes = b"host", *headers: tuple[bytes, bytes]) -> RequestHeaders:
    request = RequestHeaders(b"GET", path, authority)
    for name, value in headers:
        request.add(name, value)
    return request


def name_of(route: Route | None) -> str | None:
    return route.name if route is not None else None


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        ("{prefix: /}", [b"/", b"/a?b"], [b"*"]),
        ("{prefix: ''}", [b"/", b"*"], []),
        ("{safe_regex: {regex: '.*'}}", [b"/", b"*"], []),
        ("{prefix: /a}", [b"/a", b"/ab", b"/a/b", b"/a?x"], [b"/", b"/A"]),
        ("{prefix: /Ab, case_sensitive: false}", [b"/AB", b"/abc"], [b"/a"]),
        ("{path: /a}", [b"/a", b"/a?x=1", b"/a#f", b"/a#f?x"], [b"/a/", b"/A", b"/ab"]),
        ("{path: /A, case_sensitive: false}", [b"/a", b"/A?x"], [b"/ab"]),
        ("{path: '/m;a'}", [b"/m;a"], [b"/m"]),
        ("{path_separated_prefix: /sep}", [b"/sep", b"/sep/", b"/sep/x", b"/sep?a"], [b"/sepx", b"/se"]),
        ("{path_separated_prefix: /Sep, case_sensitive: false}", [b"/sEp", b"/SEP/x"], [b"/sepx"]),
        ("{safe_regex: {regex: '/re[0-9]'}}", [b"/re1", b"/re1?x"], [b"/re12", b"/re", b"x/re1"]),
        ("{prefix: '/a?x'}", [], [b"/a?x"]),
    ],
)
def test_paths_are_matched_without_query_and_fragment(match: str, yes: list[bytes], no: list[bytes]) -> None:
    routes = table(match)
    assert [path for path in yes if routes.match(get(path), 0.0) is None] == []
    assert [path for path in no if routes.match(get(path), 0.0) is not None] == []


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (
            "{name: q, string_match: {exact: a}}",
            [b"?q=a", b"?z&q=a#x", b"?q=a&q=b"],
            [b"", b"?q=b&q=a", b"?q", b"?Q=a"],
        ),
        ("{name: q, string_match: {exact: 'a b'}}", [], [b"?q=a%20b", b"?q=a+b"]),
        ("{name: q, string_match: {exact: ''}}", [b"?q", b"?q="], [b"", b"?q=a"]),
        ("{name: q, string_match: {safe_regex: {regex: '[0-9]+'}}}", [b"?q=12"], [b"?q=", b"?q=1a"]),
        ("{name: q}", [b"?q", b"?q=", b"?q=x"], [b"", b"?", b"?p=q"]),
        ("{name: q, present_match: true}", [b"?q=x"], [b""]),
        ("{name: q, present_match: false}", [b"", b"?p"], [b"?q", b"?q=x"]),
    ],
)
def test_query_parameters(match: str, yes: list[bytes], no: list[bytes]) -> None:
    routes = table(f"{{prefix: /, query_parameters: [{match}]}}")
    assert [query for query in yes if routes.match(get(b"/" + query), 0.0) is None] == []
    assert [query for query in no if routes.match(get(b"/" + query), 0.0) is not None] == []


def test_all_conditions_must_hold_and_the_first_route_wins() -> None:
    routes = table(
        "{prefix: /, headers: [{name: a}, {name: b}]}", "{prefix: /, headers: [{name: a}]}", "{path: /x}", "{prefix: /}"
    )
    assert name_of(routes.match(get(b"/x", b"h", (b"a", b""), (b"b", b"")), 0.0)) == "0"
    assert name_of(routes.match(get(b"/x", b"h", (b"a", b"")), 0.0)) == "1"
    assert name_of(routes.match(get(b"/x"), 0.0)) == "2"
    assert name_of(routes.match(get(b"/y"), 0.0)) == "3"


def test_grpc_routes() -> None:
    routes = table("{prefix: /, grpc: {}}")
    for kind, hit in (
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc; a", True),
        (b"application/grpc-web", False),
        (b"text/plain", False),
    ):
        assert (routes.match(get(b"/", b"h", (b"content-type", kind)), 0.0) is not None) is hit


@pytest.fixture
def hosts() -> RouteTable:
    domains = {
        "exact": ["d", "e.x", "[::1]"],
        "port": ["p:9080"],
        "suffix": ["*.f", "*-x.h"],
        "longer": ["*.long.f"],
        "prefix": ["g.*"],
        "longer prefix": ["g.h.*"],
    }
    return _hosts(domains)


def _hosts(domains: dict[str, list[str]], ignore_port: bool = False) -> RouteTable:
    virtual_hosts = [
        {"name": name, "domains": names, "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
        for name, names in domains.items()
    ]
    data = {"name": "r", "virtual_hosts": virtual_hosts, "ignore_port_in_host_matching": ignore_port}
    return RouteTable(compile_route_configuration(proto(RouteConfiguration, data)))


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"d", "exact"),
        (b"D", "exact"),
        (b"e.x", "exact"),
        (b"d:80", None),
        (b"p:9080", "port"),
        (b"P:9080", "port"),
        (b"p", None),
        (b"x.f", "suffix"),
        (b"X.F", "suffix"),
        (b"a-x.h", "suffix"),
        (b"-x.h", None),
        (b".f", None),
        (b"f", None),
        (b"x.long.f", "longer"),
        (b"g.a", "prefix"),
        (b"g.", None),
        (b"g.h.a", "longer prefix"),
        (b"", None),
    ],
)
def test_virtual_hosts(hosts: RouteTable, authority: bytes, host: str | None) -> None:
    for _ in range(2):  # the second time it is remembered
        found = hosts.virtual_host(authority)
        assert (found.name if found else None) == host
        route = hosts.match(get(b"/", authority), 0.0)
        assert (route.virtual_host if route else None) == host


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"e", "e"),
        (b"E:123", "e"),
        (b"e:abc", "e"),
        (b"x.f:1", "suffix"),
        (b"a-x.f:3", "suffix"),
        (b"[::1]:80", "ip"),
        (b"[::1]", "ip"),
        (b"d:9080", "any"),
        (b"d", "any"),
    ],
)
def test_ports_are_ignored_on_request_but_not_in_domains(authority: bytes, host: str) -> None:
    domains = {"d": ["d:9080"], "e": ["e"], "suffix": ["*.f"], "ip": ["[::1]"], "any": ["*"]}
    found = _hosts(domains, ignore_port=True).virtual_host(authority)
    assert found is not None
    assert found.name == host


def test_what_is_remembered_is_bounded() -> None:
    routes = _hosts({"any": ["*"]})
    for number in range(3000):
        assert routes.match(get(b"/", b"h%d" % number), 0.0) is not None
    assert len(routes._seen) <= 1024


def test_a_split_answers_its_branches_by_weight() -> None:
    branches = "[{name: a, weight: 1}, {name: b, weight: 0}, {name: c, weight: 3}]"
    routes = RouteTable(
        compile_route_configuration(
            with_routes(f"{{match: {{prefix: /}}, route: {{weighted_clusters: {{clusters: {branches}}}}}}}")
        )
    )
    picks = Counter()
    for number in range(1000):
        route = routes.match(get(), number / 1000)
        assert route is not None
        assert route.action is not None
        assert route.split is None
        picks[route.action.cluster] += 1
    assert picks == {"a": 250, "c": 750}


def test_a_fraction_and_the_weights_behind_it_decide_independently() -> None:
    split = "{weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 1}]}}"
    half = "{default_value: {numerator: 50}}"
    routes = RouteTable(
        compile_route_configuration(
            with_routes(
                f"{{name: some, match: {{prefix: /, runtime_fraction: {half}}}, route: {split}}}",
                f"{{name: rest, match: {{prefix: /}}, route: {split}}}",
            )
        )
    )
    picks = Counter()
    for number in range(1000):
        route = routes.match(get(), number / 1000)
        assert route is not None
        assert route.action is not None
        picks[route.name, route.action.cluster] += 1
    assert set(picks.values()) == {250}
    assert len(picks) == 4


def test_a_fraction_of_nothing_never_takes_and_of_all_always_does() -> None:
    routes = table("{prefix: /, runtime_fraction: {default_value: {}}}", "{prefix: /}")
    assert name_of(routes.match(get(), 0.0)) == "1"
    routes = table("{prefix: /, runtime_fraction: {default_value: {numerator: 100}}}", "{prefix: /}")
    assert name_of(routes.match(get(), 0.999999)) == "0"


@pytest.mark.parametrize(
    ("require", "proto_header", "internal", "redirected"),
    [
        ("ALL", b"http", b"true", True),
        ("ALL", b"https", b"", False),
        ("EXTERNAL_ONLY", b"http", b"", True),
        ("EXTERNAL_ONLY", b"http", b"true", False),
        ("NONE", b"http", b"", False),
    ],
)
def test_require_tls(require: str, proto_header: bytes, internal: bytes, redirected: bool) -> None:
    configuration = with_routes("{match: {prefix: /}, route: {cluster: c}}", host={"require_tls": require})
    request = get(b"/", b"h", (b"x-forwarded-proto", proto_header), (b"x-envoy-internal", internal))
    route = RouteTable(compile_route_configuration(configuration)).match(request, 0.0)
    assert route is not None
    assert (route.redirect is not None and route.redirect.https) is redirected


def test_path_and_query_apart() -> None:
    assert split_path(b"/a?b=c#d") == (b"/a", b"b=c")
    assert split_path(b"/a#d?b") == (b"/a", b"")
    assert query_parameters(b"a=1&b&a=2&c=") == {b"a": b"1", b"b": b"", b"c": b""}


@pytest.mark.parametrize(
    ("host", "bare"),
    [(b"a:1", b"a"), (b"a", b"a"), (b"[::1]:1", b"[::1]"), (b"[::1]", b"[::1]"), (b"a:", b"a"), (b"", b"")],
)
def test_hosts_without_port(host: bytes, bare: bytes) -> None:
    assert without_port(host) == bare


_SEGMENT = st.sampled_from(["a", "b", "ab", "A"])
_PATH = st.lists(_SEGMENT, max_size=3).map(lambda parts: "/" + "/".join(parts))
_LABEL = st.sampled_from(["a", "b", "ab", "x.a", "a.x"])
_DOMAIN = st.one_of(
    _LABEL, _LABEL.map(lambda label: f"*.{label}"), _LABEL.map(lambda label: f"{label}.*"), st.just("*")
)
_MATCH = st.fixed_dictionaries(
    {},
    optional={
        "case_sensitive": st.booleans(),
        "headers": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["h", "i"]), "string_match": st.just({"exact": "1"})},
                optional={"invert_match": st.booleans(), "treat_missing_header_as_empty": st.booleans()},
            ),
            max_size=2,
        ),
        "query_parameters": st.just([{"name": "q", "string_match": {"prefix": "1"}}]),
    },
)


def _naive_path(match: dict, path: str) -> bool:  # type: ignore[type-arg]
    same = (lambda text: text) if match.get("case_sensitive", True) else str.lower
    path = same(path)
    if "path" in match:
        return bool(path == same(match["path"]))
    if "prefix" in match:
        return bool(path.startswith(same(match["prefix"])))
    wanted = same(match["path_separated_prefix"])
    return bool(path == wanted or path.startswith(wanted + "/"))


def _naive_header(match: dict, headers: dict[str, str]) -> bool:  # type: ignore[type-arg]
    value = headers.get(match["name"])
    if value is None:
        if not match.get("treat_missing_header_as_empty"):
            return False
        value = ""
    return (value == match["string_match"]["exact"]) != match.get("invert_match", False)


def _naive_host(virtual_hosts: list[dict], host: str) -> dict | None:  # type: ignore[type-arg]
    best, rank = None, (-1, -1)
    for virtual_host in virtual_hosts:
        for domain in virtual_host["domains"]:
            if domain == host:
                found = (3, 0)
            elif domain == "*":
                found = (0, 0)
            elif domain.startswith("*") and host.endswith(domain[1:]) and len(host) >= len(domain):
                found = (2, len(domain))
            elif domain.endswith("*") and host.startswith(domain[:-1]) and len(host) >= len(domain):
                found = (1, len(domain))
            else:
                continue
            if found > rank:
                best, rank = virtual_host, found
    return best


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_agrees_with_a_matcher_that_tries_everything_in_turn(data: st.DataObject) -> None:
    domains = data.draw(st.lists(_DOMAIN, min_size=1, max_size=6, unique=True))
    virtual_hosts = []
    for number, domain in enumerate(domains):
        routes = []
        for index in range(data.draw(st.integers(0, 4))):
            match = data.draw(_MATCH)
            kind = data.draw(st.sampled_from(["path", "prefix", "path_separated_prefix"]))
            path = data.draw(_PATH)
            match[kind] = path.rstrip("/") or "/a" if kind == "path_separated_prefix" else path
            routes.append({"name": f"{number}.{index}", "match": match, "route": {"cluster": "c"}})
        virtual_hosts.append({"name": str(number), "domains": [domain], "routes": routes})
    routes_table = RouteTable(
        compile_route_configuration(proto(RouteConfiguration, {"name": "r", "virtual_hosts": virtual_hosts}))
    )
    for _ in range(5):
        host, path = data.draw(_LABEL), data.draw(_PATH)
        query = data.draw(st.sampled_from(["", "?q=1", "?q=12&q=2", "?x=1"]))
        headers = data.draw(st.dictionaries(st.sampled_from(["h", "i"]), st.sampled_from(["1", "2"])))
        request = get((path + query).encode(), host.encode(), *((k.encode(), v.encode()) for k, v in headers.items()))
        expected = None
        for route in (_naive_host(virtual_hosts, host) or {"routes": []})["routes"]:
            match = route["match"]
            if (
                _naive_path(match, path)
                and all(_naive_header(one, headers) for one in match.get("headers", []))
                and (not match.get("query_parameters") or query.startswith("?q=1"))
            ):
                expected = route["name"]
                break
        assert name_of(routes_table.match(request, 0.0)) == expected


def test_a_new_version_answers_by_its_own_hosts_whatever_it_took_from_the_one_before() -> None:
    def version(*clusters: str) -> RouteConfiguration:
        hosts = [
            {"name": name, "domains": [name], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}
            for name, cluster in zip("abc", clusters, strict=False)
        ]
        return proto(RouteConfiguration, {"name": "r", "virtual_hosts": hosts})

    def clusters(table: RouteTable) -> list[str | None]:
        routes = [table.match(get(b"/", host), 0.0) for host in (b"a", b"b", b"c")]
        return [route.action.cluster if route is not None and route.action is not None else None for route in routes]

    compiler = RouteCompiler()
    first = RouteTable(compiler.compile(version("one", "two", "three")))
    second = RouteTable(compiler.compile(version("one", "other")), first)
    assert clusters(first) == ["one", "two", "three"]
    assert clusters(second) == ["one", "other", None]
    # A virtual host of the same name from elsewhere is not taken for the one before.
    assert clusters(RouteTable(compile_route_configuration(version("else")), second)) == ["else", None, None]
