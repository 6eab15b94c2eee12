import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lugsail.api import documents
from lugsail.api.documents import parse_documents
from lugsail.api.errors import DocumentError


def only(text: str) -> Any:
    (document,) = parse_documents(text, "a.yaml")
    return document.data


def refused(text: str | bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_documents(text, "a.yaml")
    return caught.value


def test_many_documents_know_where_they_start() -> None:
    found = parse_documents("# first\n---\na: 1\n---\n---\n# nothing\n---\nb:\n  c: [x,\n    y]\n", "a.yaml")
    assert [(d.source, d.index, d.line, d.data) for d in found] == [
        ("a.yaml", 0, 3, {"a": 1}),
        ("a.yaml", 1, 8, {"b": {"c": ["x", "y"]}}),
    ]
    assert parse_documents("") == []
    assert parse_documents("---\n---\n# only comments\n") == []


def test_a_path_leads_to_its_line() -> None:
    (document,) = parse_documents("a:\n  b:\n  - c: 1\n  - c: 2\n    d.e: 3\n")
    assert document.line_of("a.b[1].c") == 4
    assert document.line_of('a.b[1]["d.e"]') == 5
    assert document.line_of("a.b[1].missing") == 4
    assert document.line_of("elsewhere") == 1


def test_a_list_is_unpacked_even_a_nested_one() -> None:
    text = """
kind: List
items:
- kind: A
  x: 1
- kind: List
  items:
  - kind: B
"""
    found = parse_documents(text)
    assert [(d.index, d.line, d.data["kind"]) for d in found] == [(0, 4, "A"), (1, 8, "B")]
    assert found[0].line_of("x") == 5


def test_json_is_yaml() -> None:
    assert only('{"a": [1, 2.5, null, true, "x"],\n\t"b": {}}') == {"a": [1, 2.5, None, True, "x"], "b": {}}


def test_quoted_scalars_stay_text_and_keys_become_text() -> None:
    assert only("""a: "1"\nb: 'true'\n80: x\ntrue: y\nc: |\n  1\n""") == {
        "a": "1",
        "b": "true",
        "80": "x",
        "true": "y",
        "c": "1\n",
    }
    assert only("a: !!str 1\nb: !!int '2'\n") == {"a": "1", "b": 2}


def test_aliases_and_merge_keys() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 9}]}\nscalar: &s v\nsame: *s\n"
    assert only(text) == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"x": 1, "y": 2, "z": 9},
        "scalar": "v",
        "same": "v",
    }


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a:\n  - b\n\t- c\n", 3, "tab"),
        ("a: [::1]\n", 1, "quote IPv6"),
        ("a:\n- [fe80::, x]\n", 2, "quote IPv6"),
        ("a: {fe80::1: x, :: y}\n", 1, "quote"),
        ("a: *nowhere\n", 1, "quote a leading *"),
        ("a: &x [*x]\n", 1, "no finished anchor"),
        ("a: *\n", 1, "quote"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is there twice"),
        ("? [a]\n: b\n", 1, "as a key"),
        ("~: b\n", 1, "without a key"),
        ("a: !!python/object:os.system x\n", 1, "tag"),
        ("a: !!python/tuple [x]\n", 1, "tag"),
        ("a: !ruby x\n", 1, "tag"),
        ("a: b: c\n", 1, "not YAML"),
        ("a: 'x\n", 2, "not YAML"),
        ("a: \x00\n", 1, "character"),
        ("ok: 1\na: \ud800\n", 2, "character"),
        ("{<<: 1}\n", 1, "merges"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, line: int, part: str) -> None:
    error = refused(text)
    assert (error.source, error.line) == ("a.yaml", line)
    assert part in str(error)


def test_bytes_must_be_utf8() -> None:
    assert only("a: ü\n".encode().decode()) == {"a": "ü"}
    assert parse_documents(b"\xef\xbb\xbfa: 1\n")[0].data == {"a": 1}
    error = refused(b"a: 1\nb: \xff\n")
    assert (error.line, "UTF-8" in str(error)) == (2, True)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "deeper than 100" in str(refused("[" * 100_000))
    assert "deeper than 100" in str(refused("".join(f"{' ' * n}a:\n" for n in range(200))))
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    for one, next_one in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{next_one}: &{next_one} [{','.join([f'*{one}'] * 9)}]\n"
    assert "values once its aliases are expanded" in str(refused(laughs))
    monkeypatch.setattr(documents, "SIZE_LIMIT_BYTES", 10)
    assert "limit of 10" in str(refused("a: 12345678\n"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abc.-", min_size=1, max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), json_values, min_size=1, max_size=4))
def test_json_and_yaml_texts_come_back_as_the_same_values(value: dict[str, Any]) -> None:
    assert only(json.dumps(value, ensure_ascii=False)) == value
    # Quoted throughout, with tags: PyYAML and JSON differ on which bare texts are numbers (0E0, 1e-05).
    assert only(yaml.safe_dump(value, allow_unicode=True, default_style='"')) == value


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t0<~\\é\x85\ufeff"), max_size=40))
def test_any_text_is_documents_or_a_document_error(text: str) -> None:
    try:
        parse_documents(text)
    except DocumentError:
        pass


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_documents_or_a_document_error(text: bytes) -> None:
    try:
        parse_documents(text)
    except DocumentError:
        pass
