"""Which virtual host and which route a request takes: prebuilt tables of one route configuration.

Envoy's rules: hosts are compared without regard to case; exact domains first, then the longest `*.suffix`, then the
longest `prefix.*`, then `*`; the first route in order that matches wins. Paths are compared without query or fragment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from sidecar.codec.headers import Headers, RequestHeaders
from sidecar.config.matchers import QueryMatch
from sidecar.config.routes import Redirect, Route, RouteConfiguration, RouteMatch, VirtualHost
from sidecar.filters.predicates import HeadersPredicate, headers_predicate, value_predicate

#: Of a path without its query.
PathPredicate = Callable[[bytes], bool]
QueryPredicate = Callable[[dict[bytes, bytes]], bool]

_REMEMBERED = 1024
#: What a virtual host with require_tls answers to a request that did not come by TLS.
_TO_HTTPS = Redirect(https=True)


#: (route, path or None for every path, all headers or None, query or None, fraction or None); None cannot fail.
_Matcher = tuple[Route, PathPredicate | None, HeadersPredicate | None, QueryPredicate | None, float | None]


class _Host:
    """A virtual host with its matchers.

    `only` is set where the first route takes every request as it is; `bare` where no matcher looks at path or query.
    """

    __slots__ = ("bare", "host", "matchers", "only", "to_https")

    def __init__(self, host: VirtualHost) -> None:
        self.host = host
        self.matchers: tuple[_Matcher, ...] = tuple(_build(route) for route in host.routes)
        self.bare = all(path is None and query is None for _, path, _, query, _ in self.matchers)
        self.only: Route | None = None
        if self.matchers and self.matchers[0][0].split is None and self.matchers[0][1:] == (None, None, None, None):
            self.only = self.matchers[0][0]
        self.to_https: Route | None = None
        if host.require_tls != "none":
            self.only = None
            self.to_https = Route(redirect=_TO_HTTPS, virtual_host=host.name)


class RouteTable:
    """The lookup tables of one route configuration, made once per update.

    Authorities that needed more than one dict look-up are remembered, up to a bound.
    """

    __slots__ = ("_any", "_exact", "_hosts", "_ignore_port", "_prefixes", "_seen", "_suffixes", "configuration")

    def __init__(self, configuration: RouteConfiguration, previous: RouteTable | None = None) -> None:
        """`previous`: the table of an earlier version; what it built of virtual hosts that stayed is used again."""
        self.configuration = configuration
        known = previous._hosts if previous is not None else {}
        self._hosts: dict[str, _Host] = {}
        self._ignore_port = configuration.ignore_port_in_host_matching
        self._exact: dict[bytes, _Host] = {}
        self._seen: dict[bytes, _Host | None] = {}
        suffixes: dict[int, dict[bytes, _Host]] = {}
        prefixes: dict[int, dict[bytes, _Host]] = {}
        self._any: _Host | None = None
        for virtual_host in configuration.virtual_hosts:
            built = known.get(virtual_host.name)
            host = built if built is not None and built.host is virtual_host else _Host(virtual_host)
            self._hosts[virtual_host.name] = host
            for domain in virtual_host.domains:
                if domain == b"*":
                    self._any = host
                elif domain.startswith(b"*"):
                    suffixes.setdefault(len(domain) - 1, {})[domain[1:]] = host
                elif domain.endswith(b"*"):
                    prefixes.setdefault(len(domain) - 1, {})[domain[:-1]] = host
                elif not self._ignore_port or without_port(domain) == domain:
                    # With ignore_port_in_host_matching Envoy never finds a domain that names a port.
                    self._exact[domain] = host
        self._suffixes = sorted(suffixes.items(), reverse=True)
        self._prefixes = sorted(prefixes.items(), reverse=True)

    def virtual_host(self, authority: bytes) -> VirtualHost | None:
        """The virtual host of an authority (Host value), or None."""
        found = self._find(authority)
        return None if found is None else found.host

    def match(self, request: RequestHeaders, random: float) -> Route | None:
        """The route a request takes, a branch where it is split; None where none matches (404, NR).

        `random` in [0, 1) decides runtime fractions and weights. x-forwarded-proto tells whether it came by TLS.
        """
        authority = request.authority
        host = self._exact.get(authority)
        if host is None:
            if authority in self._seen:
                host = self._seen[authority]
            else:
                host = self._find(authority)
                if len(self._seen) < _REMEMBERED:
                    self._seen[authority] = host
            if host is None:
                return None
        if host.only is not None and request.path[:1] == b"/":
            return host.only
        if host.to_https is not None and _needs_tls(host.host, request):
            return host.to_https
        return _match(host, request, random)

    def _find(self, authority: bytes) -> _Host | None:
        name = authority.lower()
        if self._ignore_port:
            name = without_port(name)
        host = self._exact.get(name)
        if host is not None:
            return host
        for length, table in self._suffixes:
            # A wildcard stands for at least one character.
            if length < len(name) and (host := table.get(name[-length:])) is not None:
                return host
        for length, table in self._prefixes:
            if length < len(name) and (host := table.get(name[:length])) is not None:
                return host
        return self._any


def without_port(host: bytes) -> bytes:
    """A host without what follows its last colon; colons inside an IPv6 address in brackets do not count."""
    name, colon, port = host.rpartition(b":")
    return name if colon and b"]" not in port else host


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """(path, query without its `?`); a fragment is dropped."""
    path = path.partition(b"#")[0]
    name, _, query = path.partition(b"?")
    return name, query


def query_parameters(query: bytes) -> dict[bytes, bytes]:
    """Name → first value, as they stand in the path (Envoy's matchers decode nothing)."""
    found: dict[bytes, bytes] = {}
    for item in query.split(b"&"):
        name, _, value = item.partition(b"=")
        found.setdefault(name, value)
    return found


def _needs_tls(host: VirtualHost, request: RequestHeaders) -> bool:
    if request.get(b"x-forwarded-proto") == b"https":
        return False
    return host.require_tls == "all" or request.get(b"x-envoy-internal") != b"true"


def _match(host: _Host, request: RequestHeaders, random: float) -> Route | None:
    path = request.path
    # `OPTIONS *` is no path: prefix `/` does not take it, a regex or an empty prefix may.
    no_path = path[:1] != b"/"
    query = b""
    if not host.bare and (b"?" in path or b"#" in path):
        path, query = split_path(path)
    parameters: dict[bytes, bytes] | None = None
    for route, wants_path, wants_headers, wants_query, fraction in host.matchers:
        if wants_path is not None:
            if not wants_path(path):
                continue
        elif no_path and route.match.path:
            continue
        if wants_headers is not None and not wants_headers(request):
            continue
        if wants_query is not None:
            if parameters is None:
                parameters = query_parameters(query) if query else {}
            if not wants_query(parameters):
                continue
        if fraction is not None:
            # The number is used up as it decides, and spread out again over [0, 1) for the next decision.
            if random >= fraction:
                random = (random - fraction) / (1.0 - fraction)
                continue
            random /= fraction
        split = route.split
        if split is None:
            return route
        return split.routes[bisect_right(split.bounds, int(random * split.total), 0, len(split.bounds) - 1)]
    return None


def _build(route: Route) -> _Matcher:
    match = route.match
    headers = [headers_predicate(one) for one in match.headers]
    if match.grpc:
        headers.append(_is_grpc)
    query = [_query_predicate(one) for one in match.query]
    return (
        route,
        _path_predicate(match),
        _all_of(headers),
        (lambda parameters: all(test(parameters) for test in query)) if query else None,
        match.fraction,
    )


def _all_of(tests: list[HeadersPredicate]) -> HeadersPredicate | None:
    if len(tests) < 2:
        return tests[0] if tests else None

    def every(headers: Headers) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs twice the loop
            if not test(headers):
                return False
        return True

    return every


def _path_predicate(match: RouteMatch) -> PathPredicate | None:
    wanted = match.path
    if match.path_kind == "regex":
        fullmatch = match.regex.fullmatch
        return lambda path: fullmatch(path) is not None
    if match.path_kind == "prefix" and wanted in (b"", b"/"):
        return None
    if match.case_sensitive:
        if match.path_kind == "exact":
            return lambda path: path == wanted
        if match.path_kind == "prefix":
            return lambda path: path.startswith(wanted)
    else:
        if match.path_kind == "exact":
            return lambda path: path.lower() == wanted
        if match.path_kind == "prefix":
            return lambda path: path.lower().startswith(wanted)
    length, slashed, sensitive = len(wanted), wanted + b"/", match.case_sensitive

    def separated(path: bytes) -> bool:
        if not sensitive:
            path = path.lower()
        return path.startswith(slashed) or (len(path) == length and path == wanted)

    return separated


def _query_predicate(match: QueryMatch) -> QueryPredicate:
    name = match.name
    if match.string is None:
        absent = match.absent
        return lambda parameters: (name in parameters) is not absent
    test = value_predicate(match.string)
    return lambda parameters: (value := parameters.get(name)) is not None and test(value)


def _is_grpc(request: Headers) -> bool:
    """content-type application/grpc or application/grpc+…, as Envoy asks it."""
    kind = request.get(b"content-type", b"")
    return kind.startswith(b"application/grpc") and (len(kind) == 16 or kind[16:17] in b"+;")
