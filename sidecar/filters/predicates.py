"""Predicates made from matchers: of one value (StringMatch), and of a request or response head (HeaderMatch).

They lie below the router, since filters match headers and origins too.
"""

from __future__ import annotations

from collections.abc import Callable

from sidecar.codec.headers import Headers
from sidecar.config.matchers import HeaderMatch, StringMatch

ValuePredicate = Callable[[bytes], bool]
HeadersPredicate = Callable[[Headers], bool]


def value_predicate(match: StringMatch) -> ValuePredicate:
    """Whether a value matches; a regex must match the whole value."""
    wanted = match.value
    if match.kind == "regex":
        fullmatch = match.regex.fullmatch
        return lambda value: fullmatch(value) is not None
    if match.ignore_case:
        return {
            "exact": lambda value: value.lower() == wanted,
            "prefix": lambda value: value.lower().startswith(wanted),
            "suffix": lambda value: value.lower().endswith(wanted),
            "contains": lambda value: wanted in value.lower(),
        }[match.kind]
    return {
        "exact": lambda value: value == wanted,
        "prefix": lambda value: value.startswith(wanted),
        "suffix": lambda value: value.endswith(wanted),
        "contains": lambda value: wanted in value,
    }[match.kind]


def headers_predicate(match: HeaderMatch) -> HeadersPredicate:
    """Whether a head matches. Of a header with several lines one that matches is enough; `invert` asks that none does.

    A missing header decides "no" whether inverted or not, unless it counts as empty, or presence is what is asked.
    """
    name, invert, missing_as_empty = match.name, match.invert, match.missing_as_empty
    if match.kind == "present":
        if missing_as_empty:
            return lambda headers: not invert
        return lambda headers: (headers.lookup(name) is None) is invert
    if match.kind == "range":
        test = _range_predicate(match.range_start, match.range_end)
    else:
        assert match.string is not None
        test = value_predicate(match.string)

    if not name.startswith(b":") and name != b"host" and not missing_as_empty and not invert:

        def plain(headers: Headers) -> bool:
            value = headers.get(name)
            if value is None:
                return False
            if headers.multi is not None and name in headers.multi:
                return any(map(test, headers.multi[name]))
            return test(value)

        return plain

    def general(headers: Headers) -> bool:
        value = headers.lookup(name)
        if value is None:
            return test(b"") is not invert if missing_as_empty else False
        if headers.multi is not None and name in headers.multi:
            return any(map(test, headers.multi[name])) is not invert
        return test(value) is not invert

    return general


def _range_predicate(start: int, end: int) -> ValuePredicate:
    """Decimal integers of 64 bits in [start, end), spaces around allowed, as Envoy parses them."""

    def test(value: bytes) -> bool:
        digits = value.strip(b" \t")
        if len(digits) > 20 or not digits.lstrip(b"+-").isdigit() or len(digits) - len(digits.lstrip(b"+-")) > 1:
            return False
        return start <= int(digits) < end

    return test
