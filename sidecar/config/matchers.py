"""String, header and query-parameter matchers as data: compiled once from protos, made into predicates by the router.

Values are bytes as they come off the wire. `regex` fields hold compiled RE2 patterns over bytes (full match).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: A compiled RE2 pattern over bytes; the binding ships no types.
Regex = Any

StringKind = Literal["exact", "prefix", "suffix", "contains", "regex"]
HeaderKind = Literal["string", "present", "range"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StringMatch:
    """envoy.type.matcher.v3.StringMatcher. With `ignore_case`, `value` is lower-case already."""

    kind: StringKind
    value: bytes = b""
    ignore_case: bool = False
    regex: Regex = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMatch:
    """envoy.config.route.v3.HeaderMatcher.

    `name` is lower-case, pseudo-headers keep their colon. kind "string": `string` decides; "present": the header is
    there; "range": its value is a decimal integer in [range_start, range_end). Without `missing_as_empty` a missing
    header never matches, whatever `invert` says, except for kind "present".
    """

    name: bytes
    kind: HeaderKind
    string: StringMatch | None = None
    range_start: int = 0
    range_end: int = 0
    invert: bool = False
    missing_as_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMatch:
    """envoy.config.route.v3.QueryParameterMatcher; `string` None asks only for presence, unless `absent`."""

    name: bytes
    string: StringMatch | None = None
    absent: bool = False
