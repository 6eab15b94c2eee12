"""Manifests as text: splitting and joining loses nothing."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.injector.kube_text import dump, join_documents, split_documents
from lugsail.api.errors import DocumentError
from lugsail.api.yaml_tree import plain_value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\n",
        "a: 1",
        "---\na: 1\n---\nb: 2\n",
        "# head\n---\n# one\na: 1\n...\n---\n---\nb: |\n  ---x\n",
        "a: 1\r\n---\r\nb: 2\r\n",
        '{"kind": "Pod"}\n',
    ],
)
def test_what_is_not_changed_comes_out_as_it_went_in(text: str) -> None:
    joined = join_documents((piece, None) for piece in split_documents(text, "t"))
    assert joined == (text if not text or text.endswith("\n") else f"{text}\n")


def test_pieces_know_their_place() -> None:
    pieces = split_documents("a: 1\n---\n# why\nb: 2\n", "t.yaml")
    assert [(piece.index, piece.line, piece.data) for piece in pieces] == [(1, 1, {"a": 1}), (2, 2, {"b": 2})]
    assert pieces[1].place == "t.yaml: document 2"


def test_a_changed_document_keeps_the_comments_above_it() -> None:
    first, second = split_documents("a: 1 # gone\n---  # also gone\n# kept\n\nb: 2\n", "t")
    assert join_documents([(first, {"a": 2}), (second, {"b": 3})]) == "a: 2\n---\nb: 3\n"
    (only,) = split_documents("# kept\n\nb: 2\n", "t")
    assert join_documents([(only, {"b": 3})]) == "# kept\n\nb: 3\n"


def test_documents_of_several_files_are_told_apart() -> None:
    pieces = [*split_documents("a: 1", "one"), *split_documents("b: 2\n", "two")]
    assert join_documents((piece, None) for piece in pieces) == "a: 1\n---\nb: 2\n"


def test_what_is_not_yaml_names_the_line() -> None:
    with pytest.raises(DocumentError, match=r"t\.yaml:2: not YAML"):
        split_documents("a: 1\n b: [\n", "t.yaml")


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=30))
def test_every_text_reads_back(text: str) -> None:
    assert yaml.safe_load(dump({"k": [text]})) == {"k": [text]}


@given(st.from_regex(r"[-+0-9a-fA-FoOxXeE._~ynYN]{1,8}", fullmatch=True))
def test_texts_that_look_like_something_else_are_quoted(text: str) -> None:
    (piece,) = split_documents(dump({"k": text}), "t")
    assert piece.data == {"k": text}
    if not isinstance(plain_value(text), str):
        assert f"'{text}'" in dump({"k": text})
