import pytest

from tests.lugsail.api.helpers import warning_texts

TO = "route: [{destination: {host: a}}]"


def warned(*matches: str) -> list[str]:
    rules = "\n".join(f"- {{{match + ', ' if match else ''}{TO}}}" for match in matches)
    return [text.removeprefix("spec.http") for text in warning_texts("VirtualService", f"hosts: [a]\nhttp:\n{rules}")]


def test_nothing_to_say() -> None:
    assert warned("match: [{uri: {prefix: /a}}]", "match: [{uri: {prefix: /b}}]", "") == []
    assert warned("match: [{uri: {prefix: /ab}}]", "match: [{uri: {prefix: /a}}]") == []
    assert warned("match: [{headers: {x: {exact: a}}}]", "match: [{headers: {x: {exact: b}}}]") == []
    assert warned("match: [{uri: {prefix: /, }, headers: {x: {exact: a}}}]", "") == []
    assert warned("match: [{uri: {prefix: /a}, port: 1}]", "match: [{uri: {prefix: /ab}, port: 2}]") == []


@pytest.mark.parametrize(
    "everything",
    ["", "match: []", "match: [{}]", "match: [{uri: {prefix: /}}]", "match: [{name: x, uri: {prefix: ''}}]"],
)
def test_what_comes_after_a_catch_all(everything: str) -> None:
    assert warned(everything, "match: [{uri: {exact: /a}}]", "") == [
        "[1]: is never reached: spec.http[0] before it matches everything; move it up",
        "[2]: is never reached: spec.http[0] before it matches everything; move it up",
    ]


def test_the_earlier_rule_is_named() -> None:
    assert "spec.http[0] (all) before it" in warned("name: all", "")[0]


def test_the_same_match_twice() -> None:
    same = "uri: {exact: /a}"
    assert warned(f"match: [{{{same}}}]", f"match: [{{name: other, {same}}}, {{uri: {{exact: /b}}}}]") == [
        "[1].match[0]: is never used: spec.http[0] has the same match; remove it"
    ]
    assert warned(f"match: [{{{same}}}]", f"match: [{{{same}}}]") == [
        "[1].match[0]: is never used: spec.http[0] has the same match; remove it",
        "[1]: is never reached: earlier rules have all its matches; remove it",
    ]


def test_a_prefix_covers_a_longer_one() -> None:
    assert warned("match: [{uri: {prefix: /a}}]", "match: [{uri: {prefix: /ab}}]") == [
        "[1].match[0]: is never used: prefix /a of spec.http[0] covers it; move it up"
    ]


def test_tcp_and_tls_rules_too() -> None:
    assert len(warning_texts("VirtualService", f"hosts: [a]\ntcp: [{{{TO}}}, {{{TO}}}]")) == 1
    match = "match: [{sniHosts: [a]}]"
    assert len(warning_texts("VirtualService", f"hosts: [a]\ntls: [{{{match}, {TO}}}, {{{match}, {TO}}}]")) == 2


def test_the_first_of_several_prefixes_is_named() -> None:
    rules = [f"match: [{{uri: {{prefix: {prefix}}}}}]" for prefix in ("/abc", "/ab", "/abcd", "/x", "/a", "/abcde")]
    assert warned(*rules) == [
        "[2].match[0]: is never used: prefix /abc of spec.http[0] covers it; move it up",
        "[5].match[0]: is never used: prefix /abc of spec.http[0] covers it; move it up",
    ]
