"""Kubernetes manifests as text: taken apart into documents and put together again.

What is not changed comes out byte for byte as it went in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from lugsail.api.documents import SIZE_LIMIT_BYTES
from lugsail.api.errors import DocumentError
from lugsail.api.yaml_tree import Tree, plain_value

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Booleans for the YAML 1.1 of Kubernetes (sigs.k8s.io/yaml), though not for PyYAML.
_SHORT_BOOLS = frozenset("yYnN")


@dataclass(frozen=True)
class Piece:
    """One YAML document of a text. `index` counts from 1; `text` is what was written, `---` and comments included."""

    source: str
    index: int
    line: int
    text: str
    data: Any

    @property
    def place(self) -> str:
        return f"{self.source}: document {self.index}"


def split_documents(text: str, source: str) -> list[Piece]:
    """The documents of a text, empty ones included. Raises DocumentError with the line where it is not YAML."""
    if len(text) > SIZE_LIMIT_BYTES:
        raise DocumentError(source, 0, 0, f"{len(text)} characters are more than the limit of {SIZE_LIMIT_BYTES}")
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    try:
        trees = list(_trees("".join(lines), source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise DocumentError(source, line, 0, f"not YAML: {error.problem or error.context}") from None
    except (yaml.reader.ReaderError, UnicodeError):
        hint = "remove it or escape it in quotes"
        raise DocumentError(source, 0, 0, "a character that YAML does not allow", hint) from None
    starts = [0, *(start for start, _ in trees[1:]), len(lines)]
    return [
        Piece(source, number + 1, start + 1, "".join(lines[starts[number] : starts[number + 1]]), _unshared(tree.root))
        for number, (start, tree) in enumerate(trees)
    ]


def join_documents(pieces: Iterable[tuple[Piece, Any | None]]) -> str:
    """The text of all pieces: as it was where the second is None, else that value in the piece's place."""
    parts: list[str] = []
    for piece, changed in pieces:
        text = piece.text if changed is None else _with_head(piece, changed)
        if parts and not text.startswith(("---", "%")):
            text = f"---\n{text}"
        parts.append(text if not text or text.endswith("\n") else f"{text}\n")
    return "".join(parts)


def dump(data: Any) -> str:
    """YAML in the order of the data, without aliases; long texts as blocks. Reads back the same in YAML 1.1 and 1.2."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True))


def _trees(text: str, source: str) -> Iterator[tuple[int, Tree]]:
    """(first line, tree) of each document; lines count from 0."""
    start, tree = 0, Tree(source)
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            start, tree = _line(event), Tree(source)
        elif isinstance(event, yaml.DocumentEndEvent):
            yield start, tree
        else:
            tree.feed(event)


def _line(event: Any) -> int:
    return int(event.start_mark.line)


def _unshared(data: Any) -> Any:
    """What aliases shared is copied, so that a change in one place is one in no other."""
    return json.loads(json.dumps(data))


def _with_head(piece: Piece, changed: Any) -> str:
    """A changed document keeps the comments above its first line."""
    head = []
    for line in piece.text.splitlines(keepends=True):
        stripped = line.strip()
        if stripped and not stripped.startswith("#") and stripped != "---":
            if line.startswith("---"):
                head.append("---\n")
            break
        head.append(line)
    return "".join(head) + dump(changed)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if "\n" in value:
        style = "|"
    elif value in _SHORT_BOOLS or not isinstance(plain_value(value), str):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
