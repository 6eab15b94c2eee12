"""Builds plain values from YAML events, without recursion and within limits.

Values become what JSON has (as kubectl makes them): no dates, no sexagesimal numbers, keys always text. Depth, number
of values and alias growth are bounded before they cost anything.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from lugsail.api.errors import DocumentError, child_path

DEPTH_LIMIT = 100
# Values after aliases are expanded; "billion laughs" texts pass this with a few hundred bytes.
VALUES_LIMIT = 1_000_000

_BOOLS = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_BASED = re.compile(r"([-+]?)0(?:(x)([0-9a-fA-F_]+)|(b)([01_]+)|(o?)([0-7_]+))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
# Longer digit strings are no number that a field could take.
_DIGITS_LIMIT = 400
_TAGS = frozenset(
    (None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")))
)
_BASES = {"x": 16, "b": 2, "o": 8, "": 8}


def plain_value(text: str) -> Any:
    """What an unquoted scalar means: null, a boolean, a number, or the text itself. Infinities stay text."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > _DIGITS_LIMIT or text[0] not in "+-.0123456789":
        return text
    if _DECIMAL.match(text):
        return int(text.replace("_", ""))
    if based := _BASED.match(text):
        return _based_int(based, text)
    if _FLOAT.match(text):
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def _based_int(match: re.Match[str], text: str) -> Any:
    sign, hex_mark, hex_digits, bin_mark, bin_digits, octal_mark, octal_digits = match.groups()
    digits = (hex_digits or bin_digits or octal_digits).replace("_", "")
    if not digits:
        return text
    return int(sign + digits, _BASES[hex_mark or bin_mark or octal_mark or ""])


def _key_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@dataclass
class _Open:
    """A list or map under construction."""

    value: Any
    path: str
    anchor: str | None
    count_before: int
    key: str | None = None
    merges: list[Any] = field(default_factory=list)


class Tree:
    """One document's value. Feed it every event from the document's start to its end, then read `root` and `lines`."""

    def __init__(self, source: str) -> None:
        self.root: Any = None
        self.line = 0
        # JSON path -> line of its key or item.
        self.lines: dict[str, int] = {}
        self._source = source
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def feed(self, event: Any) -> None:
        """Takes one event; raises DocumentError."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._start(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end(event)

    def _error(self, event: Any, message: str, hint: str = "") -> DocumentError:
        mark = event.start_mark
        return DocumentError(self._source, mark.line + 1, mark.column + 1, message, hint)

    def _spend(self, values: int, event: Any) -> None:
        self._count += values
        if self._count > VALUES_LIMIT:
            raise self._error(event, f"more than {VALUES_LIMIT} values once its aliases are expanded")

    def _awaited_key(self) -> _Open | None:
        top = self._stack[-1] if self._stack else None
        return top if top is not None and top.key is None and isinstance(top.value, dict) else None

    def _scalar(self, event: Any) -> None:
        self._spend(1, event)
        self._check_tag(event)
        is_plain = event.implicit[0] or event.tag not in (None, "!", "tag:yaml.org,2002:str")
        value = plain_value(event.value) if is_plain else event.value
        awaited = self._awaited_key()
        if awaited is not None:
            self._key(awaited, value, event)
            return
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._place(value, event)

    def _check_tag(self, event: Any) -> None:
        if event.tag not in _TAGS:
            raise self._error(event, f"the tag {event.tag} is not allowed here", "write plain YAML without tags")

    def _key(self, holder: _Open, value: Any, event: Any) -> None:
        if value is None:
            raise self._error(event, "a value without a key", "quote IPv6 addresses and other texts with a leading :")
        holder.key = key = value if isinstance(value, str) else _key_text(value)
        if key in holder.value:
            raise self._error(event, f"the key {key!r} is there twice", "keep one of the two")
        self.lines.setdefault(child_path(holder.path, key), event.start_mark.line + 1)

    def _alias(self, event: Any) -> None:
        if self._awaited_key() is not None:
            raise self._error(event, "an alias as a key", "quote a leading *")
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias *{event.anchor} has no finished anchor before it", "quote a leading *")
        value, size = self._anchors[event.anchor]
        self._spend(size, event)
        self._place(value, event)

    def _start(self, event: Any) -> None:
        self._check_tag(event)
        if self._awaited_key() is not None:
            raise self._error(event, "a map or list as a key", "quote texts with { or [, and IPv6 addresses")
        if len(self._stack) >= DEPTH_LIMIT:
            raise self._error(event, f"nested deeper than {DEPTH_LIMIT} levels")
        before = self._count
        self._spend(1, event)
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._next_path()
        self._note_line(path, event)
        self._stack.append(_Open(value, path, event.anchor, before))

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        for merged in done.merges:
            for source in merged if isinstance(merged, list) else [merged]:
                if not isinstance(source, dict):
                    raise self._error(event, "<< merges something that is not a map")
                for key, value in source.items():
                    done.value.setdefault(key, value)
        if done.anchor:
            self._anchors[done.anchor] = (done.value, self._count - done.count_before)
        self._put(done.value)

    def _place(self, value: Any, event: Any) -> None:
        self._note_line(self._next_path(), event)
        self._put(value)

    def _next_path(self) -> str:
        if not self._stack:
            return ""
        top = self._stack[-1]
        return child_path(top.path, top.key if top.key is not None else len(top.value))

    def _note_line(self, path: str, event: Any) -> None:
        if path:
            self.lines.setdefault(path, event.start_mark.line + 1)
        else:
            self.line = event.start_mark.line + 1

    def _put(self, value: Any) -> None:
        if not self._stack:
            self.root = value
            return
        top = self._stack[-1]
        if top.key is None:
            top.value.append(value)
            return
        if top.key == "<<":
            top.merges.append(value)
        else:
            top.value[top.key] = value
        top.key = None
