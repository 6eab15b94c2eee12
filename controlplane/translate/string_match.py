"""Istio's StringMatch as Envoy's StringMatcher."""

from typing import Any

from envoy.type.matcher.v3 import regex_pb2, string_pb2

from lugsail.api.virtual_service import StringMatch


def string_matcher(match: StringMatch) -> Any | None:
    """The matcher, or None for one that only asks for presence: nothing given, or the regex `*`."""
    if match.exact is not None:
        return exact(match.exact)
    if match.prefix is not None:
        return string_pb2.StringMatcher(prefix=match.prefix)
    if match.regex is not None and match.regex != "*":
        return string_pb2.StringMatcher(safe_regex=regex(match.regex))
    return None


def exact(text: str) -> Any:
    """StringMatcher for exactly this text."""
    return string_pb2.StringMatcher(exact=text)


def regex(pattern: str) -> Any:
    """RegexMatcher (RE2, the whole value)."""
    return regex_pb2.RegexMatcher(regex=pattern)
