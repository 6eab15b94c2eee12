"""What xDS needs of translation, as protocols: the server works with any translator of this shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from google.protobuf.any_pb2 import Any as AnyProto
from google.protobuf.message import Message


class Built(Protocol):
    """One translated resource. `version` is a hash of its content; `any` its packed form, shared and never changed."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def any(self) -> AnyProto: ...
    @property
    def message(self) -> Message: ...


class Translates(Protocol):
    """From an immutable snapshot to the resources of one proxy."""

    def build(self, snapshot: Any, proxy: Any, type_url: str, names: frozenset[str] | None) -> Mapping[str, Built]:
        """All resources of the type (`names` None), or those named that exist."""
        ...

    def conflicts(self, proxy: Any) -> Iterable[object]:
        """What of valid resources could not take effect in this proxy's latest builds; each says it as text."""
        ...

    def forget(self, proxy: Any) -> None:
        """The proxy disconnected: drop what is kept for it alone."""
        ...
