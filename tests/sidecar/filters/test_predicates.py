"""Expectations come from asking Envoy 1.40 the same."""

from __future__ import annotations

import pytest
import re2

from sidecar.codec.headers import RequestHeaders
from sidecar.config.matchers import HeaderMatch, StringMatch
from sidecar.filters.predicates import headers_predicate, value_predicate


def head(*values: bytes) -> RequestHeaders:
    request = RequestHeaders(b"GET", b"/p?q", b"host.example")
    for value in values:
        request.add(b"x", value)
    return request


EXACT = StringMatch(kind="exact", value=b"a")


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (StringMatch(kind="exact", value=b"ab"), [b"ab"], [b"AB", b"a", b"abc"]),
        (StringMatch(kind="prefix", value=b"ab"), [b"ab", b"abc"], [b"xab", b"Abc"]),
        (StringMatch(kind="suffix", value=b"ab"), [b"ab", b"xab"], [b"abx", b"xAB"]),
        (StringMatch(kind="contains", value=b"ab"), [b"xabx"], [b"xAbx"]),
        (StringMatch(kind="exact", value=b"ab", ignore_case=True), [b"AB"], [b"a"]),
        (StringMatch(kind="prefix", value=b"ab", ignore_case=True), [b"ABc"], [b"xab"]),
        (StringMatch(kind="suffix", value=b"ab", ignore_case=True), [b"xAB"], [b"abx"]),
        (StringMatch(kind="contains", value=b"ab", ignore_case=True), [b"xaBx"], [b"axb"]),
        (StringMatch(kind="regex", regex=re2.compile(b"v[12]")), [b"v1"], [b"v12", b"xv1", b"v3"]),
    ],
)
def test_values(match: StringMatch, yes: list[bytes], no: list[bytes]) -> None:
    test = value_predicate(match)
    assert all(test(value) for value in yes)
    assert not any(test(value) for value in no)


@pytest.mark.parametrize(
    ("match", "missing", "a", "empty", "b"),
    [
        ({"kind": "present"}, False, True, True, True),
        ({"kind": "present", "invert": True}, True, False, False, False),
        ({"kind": "present", "missing_as_empty": True}, True, True, True, True),
        ({"kind": "present", "invert": True, "missing_as_empty": True}, False, False, False, False),
        ({"kind": "string", "string": EXACT}, False, True, False, False),
        ({"kind": "string", "string": EXACT, "invert": True}, False, False, True, True),
        ({"kind": "string", "string": EXACT, "invert": True, "missing_as_empty": True}, True, False, True, True),
    ],
)
def test_missing_and_inverted(match: dict, missing: bool, a: bool, empty: bool, b: bool) -> None:  # type: ignore[type-arg]
    test = headers_predicate(HeaderMatch(name=b"x", **match))
    assert [test(head()), test(head(b"a")), test(head(b"")), test(head(b"b"))] == [missing, a, empty, b]


@pytest.mark.parametrize(
    ("value", "inside"),
    [
        (b"1", True),
        (b"4", True),
        (b" 3 ", True),
        (b"+3", True),
        (b"5", False),
        (b"0", False),
        (b"-1", False),
        (b"3a", False),
        (b"", False),
        (b"+-3", False),
        (b"3.0", False),
        (b"9" * 40, False),
    ],
)
def test_ranges_take_decimal_integers(value: bytes, inside: bool) -> None:
    test = headers_predicate(HeaderMatch(name=b"x", kind="range", range_start=1, range_end=5))
    assert test(head(value)) is inside


def test_one_line_of_several_is_enough_and_inverting_asks_for_none() -> None:
    for name, expected in ((b"a", True), (b"b", True), (b"a,b", False)):
        string = StringMatch(kind="exact", value=name)
        plain = headers_predicate(HeaderMatch(name=b"x", kind="string", string=string))
        inverted = headers_predicate(HeaderMatch(name=b"x", kind="string", string=string, invert=True))
        assert plain(head(b"a", b"b")) is expected
        assert inverted(head(b"a", b"b")) is not expected


@pytest.mark.parametrize(
    ("name", "value"),
    [(b":method", b"GET"), (b":path", b"/p?q"), (b":authority", b"host.example"), (b":scheme", b"http")],
)
def test_pseudo_headers(name: bytes, value: bytes) -> None:
    string = StringMatch(kind="exact", value=value)
    assert headers_predicate(HeaderMatch(name=name, kind="string", string=string))(head())
    assert headers_predicate(HeaderMatch(name=name, kind="present"))(head())
