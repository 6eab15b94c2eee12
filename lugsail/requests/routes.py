"""Which rule routed a request, told from its access log line and the routes that the proxy ran on. Pure.

The log has no rule and few headers, so each route of the virtual host is asked whether it can have been this one: by
path, method, the headers that are in the log, the route's name, and the cluster that the request went to. One that
fits for sure ends the search, as it does in Envoy; where several remain they are all named.

Source: Envoy, RouteConfiguration and its matching order; `metadata.filter_metadata` `istio` (the resource) and
`lugsail` (the rule) as the control plane writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import re2

from lugsail.requests.line import Line, port_of

Resource = Mapping[str, Any]

RULE, DEFAULT, PASSTHROUGH, BLOCKED, NO_ROUTE, UNKNOWN = "rule", "default", "passthrough", "blocked", "none", "unknown"
_WORDS = {
    DEFAULT: "default route",
    PASSTHROUGH: "passthrough: not in the mesh",
    BLOCKED: "blocked: not in the mesh",
    NO_ROUTE: "no rule matches",
    UNKNOWN: "?",
}
FAULT_FILTER = "envoy.filters.http.fault"
#: Names that Istio gives routes without a VirtualService.
_NAMED = {"default": DEFAULT, "allow_any": PASSTHROUGH, "block_all": BLOCKED}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one resource: `http[1]` of VirtualService reviews in default, perhaps with a name."""

    kind: str
    resource: str = ""  # `reviews.default`
    index: str = ""  # `http[1]`; empty where only the resource is known
    match: str = ""  # `http[1].match[0]`
    name: str = ""

    @property
    def shown(self) -> str:
        if self.kind != RULE:
            return _WORDS[self.kind]
        words = ["VirtualService", self.resource, self.index, f"({self.name})" if self.name else ""]
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a request's rule: one rule, `one of` several, or why nothing can be said."""

    rules: tuple[Rule, ...]
    why_not: str = ""

    @property
    def shown(self) -> str:
        if len(self.rules) == 1:
            return f"? ({self.why_not})" if self.why_not else self.rules[0].shown
        first = self.rules[0]
        if all((rule.kind, rule.resource) == (RULE, first.resource) for rule in self.rules):
            indexes = (f"{rule.index} ({rule.name})" if rule.name else rule.index for rule in self.rules)
            return f"VirtualService {first.resource} one of {', '.join(indexes)}"
        return "one of " + ", ".join(rule.shown for rule in self.rules)

    def to_dict(self) -> dict[str, Any]:
        rules = [
            {"kind": "VirtualService", "resource": rule.resource, "rule": rule.index, "match": rule.match}
            | ({"name": rule.name} if rule.name else {})
            if rule.kind == RULE
            else {"kind": rule.kind}
            for rule in self.rules
        ]
        found = rules[0] if len(rules) == 1 else {"one_of": rules}
        return {**found, "why": self.why_not} if self.why_not else found


def unknown(why: str) -> Verdict:
    return Verdict((Rule(UNKNOWN),), why)


class RouteTable:
    """The route configurations of one proxy at one time, from its dump (`dynamic_route_configs`)."""

    def __init__(self, entries: list[Resource]) -> None:
        self._configs = [
            _Config(entry["route_config"], _seconds(str(entry.get("last_updated", ""))))
            for entry in entries
            if "route_config" in entry
        ]
        self.newest = max((config.since for config in self._configs), default=0.0)
        self._known: dict[tuple[str, ...], Verdict] = {}
        self._asks_id = any(config.asks_id for config in self._configs)

    def in_force_since(self, line: Line) -> float:
        """When the proxy took over the configurations that such a request is routed by."""
        return max((config.since for config in self._own(line)), default=0.0)

    def _own(self, line: Line) -> list[_Config]:
        """Those of the port that was called; all where none is named so."""
        port = port_of(line.downstream_local)
        return [config for config in self._configs if config.port == port] or self._configs

    def verdict(self, line: Line) -> Verdict:
        """The rule of a request that this proxy routed."""
        # all that the answer depends on
        key: tuple[str, ...] = (port_of(line.downstream_local), line.authority, line.path, line.method, line.cluster)
        key += (line.route_name, *line.flags, line.details, line.user_agent)
        key += (line.request_id,) if self._asks_id else ()
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= 4096:
                self._known.clear()
            found = self._known[key] = self._verdict(line)
        return found

    def _verdict(self, line: Line) -> Verdict:
        if "NR" in line.flags:
            return Verdict((Rule(NO_ROUTE),))
        if line.cluster == "BlackHoleCluster":
            return Verdict((Rule(BLOCKED),))
        rules: list[Rule] = []
        for config in self._own(line):
            for rule in config.candidates(line):
                if not any((r.kind, r.resource, r.index) == (rule.kind, rule.resource, rule.index) for r in rules):
                    rules.append(rule)
        return Verdict(tuple(rules)) if rules else unknown("no route of the proxy fits")


class RouteHistory:
    """The tables of one proxy over time: a request is judged by the one in force when it began."""

    KEPT = 16

    def __init__(self) -> None:
        self._tables: list[RouteTable] = []
        self.known_until = 0.0  # up to then (seconds since the epoch) the newest table is known to be in force

    def add(self, table: RouteTable, now: float) -> None:
        """A dump that was asked for at `now`."""
        self.known_until = max(self.known_until, now)
        if not self._tables or self._tables[-1].newest < table.newest:
            self._tables = [*self._tables[1 - self.KEPT :], table]

    def confirm(self, now: float) -> None:
        """At `now` the newest table was still the one in force."""
        self.known_until = max(self.known_until, now)

    def verdict(self, line: Line) -> Verdict:
        if not self._tables:
            return unknown("the proxy's routes could not be asked for")
        if line.start > self.known_until:
            return unknown("its routes may have changed")
        for table in reversed(self._tables):
            if table.in_force_since(line) <= line.start:
                return table.verdict(line)
        return unknown("routes changed since")


class _Config:
    """One RouteConfiguration, in force since then. `port`: of its name (`9080`, `http.8080`); empty for others."""

    def __init__(self, config: Resource, since: float) -> None:
        self.since = since
        name = str(config.get("name", ""))
        last = name.rpartition(".")[2] if name.startswith("http.") else name.rpartition(":")[2]
        self.port = last if last.isdigit() else ""
        self._ignores_port = bool(config.get("ignore_port_in_host_matching"))
        self._hosts = [
            ([str(domain).lower() for domain in host.get("domains", ())], [_Route(each) for each in host["routes"]])
            for host in config.get("virtual_hosts", ())
            if host.get("routes")
        ]
        self._rewriting = [route for _, routes in self._hosts for route in routes if route.new_host]
        self.asks_id = any(route.asks("x-request-id") for _, routes in self._hosts for route in routes)

    def candidates(self, line: Line) -> Iterator[Rule]:
        """The rules that this can have been. The log has the authority as the route rewrote it."""
        yield from self._of_host(line)
        for route in self._rewriting:
            if route.new_host == line.authority and route.matches(line) is not False and route.leads_there(line):
                yield route.rule

    def _of_host(self, line: Line) -> Iterator[Rule]:
        for route in self._routes(line.authority.lower()):
            fits = route.matches(line)
            if fits is False or route.new_host:
                continue
            there = route.leads_there(line)
            if there:
                yield route.rule
            if fits and (there or not self._rewriting):
                return  # this is the one, or the log contradicts the table: what follows was not reached

    def _routes(self, authority: str) -> list[_Route]:
        """Of the virtual host: exact domains first, then the longest `*.suffix`, the longest `prefix.*`, then `*`."""
        if self._ignores_port:
            authority = _without_port(authority)
        best: tuple[int, int] = (0, 0)
        found: list[_Route] = []
        for domains, routes in self._hosts:
            for domain in domains:
                rank = _rank(domain, authority)
                if rank > best:
                    best, found = rank, routes
        return found


class _Route:
    def __init__(self, route: Resource) -> None:
        self._match: Resource = route.get("match") or {}
        self._name = str(route.get("name", ""))
        action: Resource = route.get("route") or {}
        self._answers = "redirect" in route or "direct_response" in route
        self._any_cluster = "cluster_header" in action
        weighted = (action.get("weighted_clusters") or {}).get("clusters", ())
        self._clusters = {str(each.get("name", "")) for each in weighted} | {str(action.get("cluster", ""))}
        self.new_host = str(action.get("host_rewrite_literal", ""))
        self.rule = _rule(route, self._name)
        self._path = _path_test(self._match)
        faults = (route.get("typed_per_filter_config") or {}).get(FAULT_FILTER) or {}
        self._faults = {flag: _how_often(faults, kind) for flag, kind in (("FI", "abort"), ("DI", "delay"))}

    def asks(self, header: str) -> bool:
        return any(str(each.get("name", "")).lower() == header for each in self._match.get("headers", ()))

    def leads_there(self, line: Line) -> bool:
        """Whether name and cluster are those of the log."""
        if self._name != line.route_name:
            return False
        if not all(self._faults_fit(flag, line) for flag in self._faults):
            return False
        if self._answers:
            return not line.cluster
        if not line.cluster:
            return line.details != "direct_response"
        return self._any_cluster or line.cluster in self._clusters

    def _faults_fit(self, flag: str, line: Line) -> bool:
        """A fault that was injected is one of this route; one that always is was not left out on the way upstream."""
        if flag in line.flags:
            return self._faults[flag] > 0
        return self._faults[flag] < 1 or not line.upstream_host

    def matches(self, line: Line) -> bool | None:
        """Whether the request fits; None where the log does not tell."""
        path, _, query = line.path.partition("#")[0].partition("?")
        answers: list[bool | None] = [self._path(path)]
        for header in self._match.get("headers", ()):
            answers.append(_header_fits(header, line, bool(self.new_host)))
            if answers[-1] is False:
                return False
        if self._match.get("query_parameters"):
            values = _query(query)
            answers += [_query_fits(each, values) for each in self._match["query_parameters"]]
        if "runtime_fraction" in self._match or "grpc" in self._match or "tls_context" in self._match:
            answers.append(None)
        if False in answers:
            return False
        return None if None in answers else True


def _rule(route: Resource, name: str) -> Rule:
    metadata = (route.get("metadata") or {}).get("filter_metadata") or {}
    parts = str((metadata.get("istio") or {}).get("config", "")).strip("/").split("/")
    own = metadata.get("lugsail") or {}
    if "namespaces" not in parts[:-1]:
        return Rule(_NAMED.get(name, UNKNOWN))
    resource = f"{parts[-1]}.{parts[parts.index('namespaces') + 1]}"
    return Rule(RULE, resource, str(own.get("rule", "")), str(own.get("match", "")), str(own.get("name", "")))


def _how_often(faults: Resource, kind: str) -> float:
    """The share of requests that get the fault; always less than all where headers have a say."""
    percentage = (faults.get(kind) or {}).get("percentage") or {}
    of = {"TEN_THOUSAND": 1e4, "MILLION": 1e6}.get(str(percentage.get("denominator")), 1e2)
    share = int(percentage.get("numerator", 0)) / of
    return min(share, 0.5) if faults.get("headers") or faults.get("upstream_cluster") else share


def _rank(domain: str, authority: str) -> tuple[int, int]:
    if domain == authority:
        return 4, 0
    if domain == "*":
        return 1, 0
    if domain.startswith("*") and authority.endswith(domain[1:]) and len(authority) > len(domain) - 1:
        return 3, len(domain)
    if domain.endswith("*") and authority.startswith(domain[:-1]) and len(authority) > len(domain) - 1:
        return 2, len(domain)
    return 0, 0


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() and (":" not in host or host.endswith("]")) else authority


def _path_test(match: Resource) -> Any:
    """A function of the path without its query."""
    fold = str.lower if match.get("case_sensitive") is False else str
    if "path" in match:
        wanted = fold(str(match["path"]))
        return lambda path: fold(path) == wanted
    if "path_separated_prefix" in match:
        start = fold(str(match["path_separated_prefix"]))
        return lambda path: fold(path) == start or fold(path).startswith(start + "/")
    if "safe_regex" in match:
        return lambda path: _regex(str(match["safe_regex"].get("regex", "")), path)
    if "prefix" in match:
        prefix = fold(str(match["prefix"]))
        return lambda path: fold(path).startswith(prefix)
    return lambda path: None  # a matcher of another kind


def _header_fits(header: Resource, line: Line, rewritten: bool) -> bool | None:
    name = str(header.get("name", "")).lower()
    known = {":method": line.method, ":path": line.path, "user-agent": line.user_agent}
    known |= {"x-request-id": line.request_id}
    if not rewritten:
        known[":authority"] = line.authority
    value = known.get(name, "")
    if not value:
        return None  # not in the log, or cut out of it
    if name in ("user-agent", "x-request-id") and not header.get("string_match"):
        fits: bool | None = True
    elif "string_match" in header:
        fits = _string_fits(header["string_match"], value)
    elif header.get("present_match") is True:
        fits = True
    else:
        return None
    return None if fits is None else fits != bool(header.get("invert_match"))


def _query(query: str) -> dict[str, str]:
    """As Envoy reads it: the first of a name counts, nothing is decoded."""
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        found.setdefault(name, value)
    return found


def _query_fits(matcher: Resource, values: Mapping[str, str]) -> bool | None:
    value = values.get(str(matcher.get("name", "")))
    if value is None:
        return False
    return _string_fits(matcher["string_match"], value) if "string_match" in matcher else True


def _string_fits(matcher: Resource, value: str) -> bool | None:
    fold = str.lower if matcher.get("ignore_case") else str
    for kind, test in (
        ("exact", str.__eq__),
        ("prefix", str.startswith),
        ("suffix", str.endswith),
        ("contains", str.__contains__),
    ):
        if kind in matcher:
            return bool(test(fold(value), fold(str(matcher[kind]))))
    return _regex(str(matcher["safe_regex"].get("regex", "")), value) if "safe_regex" in matcher else None


def _regex(pattern: str, value: str) -> bool | None:
    try:
        return re2.fullmatch(pattern, value) is not None
    except (re2.error, UnicodeEncodeError):
        return None


def _seconds(time: str) -> float:
    """RFC 3339 → seconds; a time that cannot be read is that of a table that was always there."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
