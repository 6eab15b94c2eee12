"""Reads YAML (or JSON) text into plain documents that know their lines, within limits, for text from anywhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from lugsail.api.errors import DocumentError
from lugsail.api.yaml_tree import Tree

SIZE_LIMIT_BYTES = 10 * 1024 * 1024

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """One resource of a text. `line` (from 1) is where it starts; `index` counts the source's resources from 0."""

    source: str
    index: int
    line: int
    data: Any
    lines: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def line_of(self, path: str) -> int:
        """The line of a JSON path (`spec.http[0].route`), or of the nearest part of it that is there."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line


def parse_documents(text: str | bytes, source: str = "<text>") -> list[Document]:
    """The documents of a text in order; empty ones are left out, `kind: List` is unpacked.

    Raises DocumentError with the line for text that is not YAML, is too big or too deep, or repeats a key.
    """
    decoded = _decode(text, source)
    documents: list[Document] = []
    try:
        for tree in _trees(decoded, source):
            for line, data, lines in _items(tree.line, tree.root, tree.lines):
                documents.append(Document(source, len(documents), line, data, lines))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, decoded, source) from None
    except (yaml.reader.ReaderError, UnicodeError) as error:
        raise _character_error(error, decoded, source) from None
    return documents


def _trees(text: str, source: str) -> Iterator[Tree]:
    tree = Tree(source)
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            tree = Tree(source)
        elif isinstance(event, yaml.DocumentEndEvent):
            yield tree
        else:
            tree.feed(event)


def _decode(text: str | bytes, source: str) -> str:
    size = len(text)
    if size > SIZE_LIMIT_BYTES:
        raise DocumentError(source, 0, 0, f"{size} bytes are more than the limit of {SIZE_LIMIT_BYTES}")
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise DocumentError(source, line, 0, "not UTF-8 text", "save the file as UTF-8") from None


def _items(line: int, data: Any, lines: dict[str, int]) -> Iterator[tuple[int, Any, dict[str, int]]]:
    """A `List` gives its items (also nested lists), an empty document nothing."""
    if data is None:
        return
    if not (isinstance(data, dict) and data.get("kind") == "List" and isinstance(data.get("items"), list)):
        yield line, data, lines
        return
    for index, item in enumerate(data["items"]):
        prefix = f"items[{index}]"
        inner = {path.removeprefix(f"{prefix}."): at for path, at in lines.items() if path.startswith(f"{prefix}.")}
        yield from _items(lines.get(prefix, line), item, inner)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, source: str) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    written = text.splitlines()
    shown = written[line - 1] if 0 < line <= len(written) else ""
    indent = shown[: len(shown) - len(shown.lstrip())]
    if "\t" in indent or shown[column - 1 : column] == "\t":
        return DocumentError(source, line, column, "a tab in the indentation", "YAML is indented with spaces")
    problem = error.problem or "this is not YAML"
    where = f" {error.context}" if error.context else ""
    return DocumentError(source, line, column, f"not YAML: {problem}{where}", _hint(shown))


def _hint(line: str) -> str:
    if re.search(r"[\[,{]\s*[0-9a-fA-F:]*::", line):
        return "quote IPv6 addresses"
    if re.search(r"(:|-)\s+[*&%@`]", line):
        return "quote texts that start with *, &, %, @ or `"
    return ""


def _character_error(error: Exception, text: str, source: str) -> DocumentError:
    position = getattr(error, "position", None)
    if not isinstance(position, int):
        position = getattr(error, "start", 0)
    line = text.count("\n", 0, position) + 1
    return DocumentError(source, line, 0, "a character that YAML does not allow", "remove it or escape it in quotes")
