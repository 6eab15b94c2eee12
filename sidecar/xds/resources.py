"""What the control plane sent of one resource type: the last good version of each resource, and what was refused.

`receive` decodes and compiles a response off to the side and says what changed; `commit` records what then was put to
use. The admin page's config dump is made from here, never from compiled configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

TYPE_PREFIX = "type.googleapis.com/"

_Compiled = TypeVar("_Compiled")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A resource in use: `value` is the Any as it came, `updated_s` wall time."""

    version: str
    value: AnyMessage
    updated_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A resource that was refused, with the reason; the last good version of that name stays in use."""

    version: str
    value: AnyMessage
    details: str
    attempted_s: float


@dataclass(slots=True)
class Update(Generic[_Compiled]):
    """One response, decoded. `changed`: new or different resources by name; `removed`: names that went.

    `errors`: name (or position) → what is wrong with it.
    """

    version: str
    changed: dict[str, _Compiled] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    values: dict[str, AnyMessage] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)


class ResourceSet(Generic[_Compiled]):
    """The resources of one type. `whole`: a response holds all there are (CDS, LDS), so what is missing is removed.

    `compile` raises an exception whose text says what can not be honoured.
    """

    def __init__(
        self,
        type_url: str,
        message: type[Message],
        name_of: Callable[[Any], str],
        compile: Callable[[Any], _Compiled],
        whole: bool,
    ) -> None:
        self.type_url = type_url
        self.whole = whole
        self.version = ""
        self.accepted: dict[str, Accepted] = {}
        self.refused: dict[str, Refused] = {}
        self._message = message
        self._name_of = name_of
        self._compile = compile

    def receive(
        self, version: str, resources: Iterable[AnyMessage], wanted: frozenset[str] | None = None
    ) -> Update[_Compiled]:
        """Decode and compile what differs from the accepted resources. Changes nothing.

        Names outside `wanted` (None: all are) are passed over, as the protocol asks.
        """
        update: Update[_Compiled] = Update(version)
        for position, value in enumerate(resources):
            self._receive_one(update, position, value, wanted)
        if self.whole:
            update.removed = self.accepted.keys() - update.values.keys()
            if update.errors and any(name.startswith("#") for name in update.errors):
                # One of those that seem to be missing may be the one that could not be read.
                update.removed = set()
        return update

    def _receive_one(
        self, update: Update[_Compiled], position: int, value: AnyMessage, wanted: frozenset[str] | None
    ) -> None:
        if value.type_url != self.type_url:
            update.errors[f"#{position}"] = f"is a {value.type_url or 'message without a type'}, not a {self.type_url}"
            return
        try:
            message = self._message.FromString(value.value)
        except DecodeError as error:
            update.errors[f"#{position}"] = f"can not be decoded as {self.type_url}: {error}"
            return
        name = self._name_of(message)
        if not name:
            update.errors[f"#{position}"] = "has no name"
            return
        if wanted is not None and name not in wanted:
            return
        if name in update.values:
            update.errors[name] = "appears twice in one response"
            return
        update.values[name] = value
        held = self.accepted.get(name)
        if held is not None and held.value.value == value.value:
            update.unchanged.add(name)
            return
        try:
            update.changed[name] = self._compile(message)
        except Exception as error:
            # Not only the compiler's own refusal: a bug in it must cost one resource, not the stream.
            update.errors[name] = _reason(error)

    def commit(self, update: Update[_Compiled], errors: Mapping[str, str], now_s: float) -> None:
        """Record what was applied; `errors` are those of decoding and of putting to use, by name."""
        for name, value in update.values.items():
            if name in errors:
                self.refused[name] = Refused(update.version, value, errors[name], now_s)
                continue
            self.refused.pop(name, None)
            held = self.accepted.get(name)
            if held is not None and name in update.unchanged:
                self.accepted[name] = Accepted(update.version, held.value, held.updated_s)
            else:
                self.accepted[name] = Accepted(update.version, value, now_s)
        for name in update.removed:
            self.accepted.pop(name, None)
        if self.whole:
            for name in [name for name in self.refused if name not in update.values]:
                del self.refused[name]
        if not errors:
            self.version = update.version

    def drop(self, names: frozenset[str] | set[str]) -> None:
        """Forget resources that nothing refers to any more."""
        for name in names:
            self.accepted.pop(name, None)
            self.refused.pop(name, None)


def _reason(error: Exception) -> str:
    path, reason = getattr(error, "path", None), getattr(error, "reason", None)
    if isinstance(path, str) and isinstance(reason, str):
        return f"{path}: {reason}" if path else reason
    return f"internal error: {type(error).__name__}: {error}"


def rejection_text(kind: str, errors: Mapping[str, str]) -> str:
    """The NACK's error_detail: every bad resource with its reason, one a line."""
    lines = [f"{name}: {reason}" for name, reason in sorted(errors.items())]
    return f"Error adding/updating {kind}(s) " + "\n".join(lines)
