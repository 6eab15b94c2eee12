from __future__ import annotations

import pytest
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, RetryPolicy, RouteAction
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.any_pb2 import Any as AnyMessage

from sidecar.config import protos
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import proto

AT = At("resource")


@pytest.mark.parametrize(
    ("text", "default", "timeout"),
    [("{}", 15.0, 15.0), ("{timeout: 0s}", 0.0, None), ("{timeout: 1.5s}", 1500.0, 1500.0)],
)
def test_durations_are_milliseconds_and_a_timeout_of_zero_is_none(
    text: str, default: float, timeout: float | None
) -> None:
    action = proto(RouteAction, text)
    assert protos.duration_ms(action, "timeout", AT, 15.0) == default
    assert protos.timeout_ms(action, "timeout", AT, 15.0) == timeout


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(Rejected, match="resource: timeout: -1000 ms is not a duration"):
        protos.duration_ms(proto(RouteAction, "{timeout: -1s}"), "timeout", AT)


def test_wrappers_have_defaults() -> None:
    assert protos.wrapped(proto(RetryPolicy, "{}"), "num_retries", 1) == 1
    assert protos.wrapped(proto(RetryPolicy, "{num_retries: 0}"), "num_retries", 1) == 0


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("{numerator: 25}", 0.25),
        ("{numerator: 25, denominator: TEN_THOUSAND}", 0.0025),
        ("{numerator: 500000, denominator: MILLION}", 0.5),
        ("{numerator: 200}", 1.0),
    ],
)
def test_fractions(text: str, fraction: float) -> None:
    assert protos.fraction(proto(FractionalPercent, text)) == fraction


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "(?<x", "[z-a]", "\\8"])
def test_a_broken_regex_is_refused(pattern: str) -> None:
    with pytest.raises(Rejected, match="invalid regex"):
        protos.regex(pattern, AT)


def test_a_regex_that_would_be_too_large_is_refused() -> None:
    with pytest.raises(Rejected, match=r"invalid regex|program size"):
        protos.regex("((a{100}){100}){10}", AT)


@pytest.mark.parametrize(
    ("pattern", "substitution", "error"),
    [
        ("/(a)", r"/\2", r"\\2 asks for a group"),
        ("/(a)", "/\\", "a backslash must be followed"),
        ("/(a)", r"/\x", "a backslash must be followed"),
        ("", "/x", "an empty regex"),
    ],
)
def test_a_substitution_must_fit_its_regex(pattern: str, substitution: str, error: str) -> None:
    rewrite = RegexMatchAndSubstitute(substitution=substitution)
    rewrite.pattern.regex = pattern
    with pytest.raises(Rejected, match=error):
        protos.regex_rewrite(rewrite, AT)


def test_a_substitution_may_use_the_whole_match_and_backslashes() -> None:
    rewrite = RegexMatchAndSubstitute(substitution=r"\0\\\1")
    rewrite.pattern.regex = "(a)"
    assert protos.regex_rewrite(rewrite, AT)[1] == rb"\0\\\1"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "needs one of exact"),
        ("{prefix: ''}", "an empty text"),
        ("{safe_regex: {regex: '('}}", "invalid regex"),
        ("{custom: {name: x}}", "this kind of string matcher"),
    ],
)
def test_string_matchers_refused(text: str, error: str) -> None:
    with pytest.raises(Rejected, match=error):
        protos.string_match(proto(StringMatcher, text), AT)


def test_a_string_matcher_without_case_is_lowered() -> None:
    match = protos.string_match(proto(StringMatcher, "{exact: ABC, ignore_case: true}"), AT)
    assert (match.kind, match.value, match.ignore_case) == ("exact", b"abc", True)


@pytest.mark.parametrize(
    ("text", "kind", "string_kind", "invert"),
    [
        ("{name: X}", "present", None, False),
        ("{name: X, present_match: false}", "present", None, True),
        ("{name: X, present_match: false, invert_match: true}", "present", None, False),
        ("{name: X, range_match: {start: 1, end: 5}}", "range", None, False),
        ("{name: X, prefix_match: a}", "string", "prefix", False),
        ("{name: X, contains_match: a}", "string", "contains", False),
        ("{name: X, exact_match: a}", "string", "exact", False),
        ("{name: X, safe_regex_match: {regex: a}}", "string", "regex", False),
        ("{name: X, string_match: {suffix: a}, invert_match: true}", "string", "suffix", True),
    ],
)
def test_header_matchers(text: str, kind: str, string_kind: str | None, invert: bool) -> None:
    match = protos.header_match(proto(HeaderMatcher, text), AT)
    assert (match.name, match.kind, match.invert) == (b"x", kind, invert)
    assert (match.string.kind if match.string else None) == string_kind


def test_host_is_the_authority() -> None:
    assert protos.header_match(proto(HeaderMatcher, "{name: Host}"), AT).name == b":authority"


def test_a_header_matcher_needs_a_name() -> None:
    with pytest.raises(Rejected, match="resource: name: empty"):
        protos.header_match(HeaderMatcher(), AT)


def test_unpack_wants_the_type_and_a_message() -> None:
    packed = AnyMessage()
    packed.Pack(StringMatcher(exact="x"))
    assert protos.unpack(packed, StringMatcher, AT).exact == "x"
    with pytest.raises(Rejected, match=r"has type envoy.type.matcher.v3.StringMatcher, where .*RetryPolicy"):
        protos.unpack(packed, RetryPolicy, AT)
    packed.value = b"\xff\xff"
    with pytest.raises(Rejected, match="cannot be decoded"):
        protos.unpack(packed, StringMatcher, AT)


def test_what_nobody_handles_is_refused() -> None:
    action = proto(RouteAction, "{timeout: 1s, cluster: x}")
    protos.reject_unhandled(action, ("timeout", "cluster"), AT)
    with pytest.raises(Rejected, match="resource: cluster: is not supported"):
        protos.reject_unhandled(action, ("timeout",), AT)
