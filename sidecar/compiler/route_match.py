"""RouteMatch, header and query-parameter matchers: protos to `sidecar.config.matchers` and `RouteMatch`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sidecar.compiler.ignored import check
from sidecar.config.matchers import HeaderMatch, QueryMatch
from sidecar.config.protos import header_match, regex_matcher, runtime_fraction, string_match, wrapped
from sidecar.config.rejected import At
from sidecar.config.routes import PathKind, RouteMatch

_MATCH_FIELDS = (
    "prefix",
    "path",
    "safe_regex",
    "path_separated_prefix",
    "case_sensitive",
    "runtime_fraction",
    "headers",
    "query_parameters",
    "grpc",
)
_PATH_KINDS: dict[str, PathKind] = {
    "prefix": "prefix",
    "path": "exact",
    "path_separated_prefix": "separated_prefix",
    "safe_regex": "regex",
}


def compile_match(match: Any, at: At) -> RouteMatch:
    """envoy.config.route.v3.RouteMatch."""
    check(match, _MATCH_FIELDS, at)
    specifier = match.WhichOneof("path_specifier")
    if specifier is None:
        at.reject("a match needs one of prefix, path, safe_regex, path_separated_prefix")
    if match.HasField("grpc"):
        check(match.grpc, (), at.field("grpc"))
    case_sensitive = wrapped(match, "case_sensitive", True)
    path, pattern = b"", None
    if specifier == "safe_regex":
        pattern = regex_matcher(match.safe_regex, at.field("safe_regex"))
    else:
        text: str = getattr(match, specifier)
        if specifier == "path_separated_prefix" and (not text.startswith("/") or text.endswith("/") or "?" in text):
            at.field(specifier).reject(f"{text!r} must begin with a slash, not end with one, and hold no query")
        path = text.encode() if case_sensitive else text.lower().encode()
    return RouteMatch(
        path_kind=_PATH_KINDS[specifier],
        path=path,
        regex=pattern,
        case_sensitive=case_sensitive,
        headers=compile_headers(match.headers, at, "headers"),
        query=tuple(
            _query(query, at.field("query_parameters", index)) for index, query in enumerate(match.query_parameters)
        ),
        fraction=runtime_fraction(match.runtime_fraction) if match.HasField("runtime_fraction") else None,
        grpc=match.HasField("grpc"),
    )


def compile_headers(matchers: Iterable[Any], at: At, field: str) -> tuple[HeaderMatch, ...]:
    """A list of envoy.config.route.v3.HeaderMatcher, found in `field`."""
    return tuple(header_match(matcher, at.field(field, index)) for index, matcher in enumerate(matchers))


def _query(matcher: Any, at: At) -> QueryMatch:
    check(matcher, ("name", "string_match", "present_match"), at)
    if not matcher.name:
        at.field("name").reject("empty; name the query parameter")
    specifier = matcher.WhichOneof("query_parameter_match_specifier")
    name = matcher.name.encode()
    if specifier == "string_match":
        return QueryMatch(name=name, string=string_match(matcher.string_match, at.field("string_match")))
    return QueryMatch(name=name, absent=specifier == "present_match" and not matcher.present_match)
