"""A finished xDS resource, and the memo that keeps finished things."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage

from controlplane.translate.protos import any_of

T = TypeVar("T")

VERSION_BYTES = 8


@dataclass(frozen=True, eq=False, slots=True)
class BuiltResource:
    """One resource, serialised once. `version` is a hash of its content, the same in every process."""

    name: str
    version: str
    any: AnyMessage
    message: Any


def built(name: str, message: Any) -> BuiltResource:
    """Serialise a finished message. It must not be changed afterwards."""
    packed = any_of(message)
    digest = hashlib.blake2b(packed.value, digest_size=VERSION_BYTES).hexdigest()
    return BuiltResource(name, digest, packed, message)


class Memo:
    """Results by the immutable inputs they were made of; the least recently used go first.

    A key holds its inputs, so an input that is compared by identity cannot be mistaken for another.
    """

    def __init__(self, limit: int = 20_000) -> None:
        """`limit`: how many results to keep."""
        self._limit = limit
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, key: Hashable, build: Callable[[], T]) -> T:
        """The result for the key, built when it is not known."""
        try:
            result: T = self._results[key]
        except KeyError:
            self.misses += 1
            result = build()
            self._results[key] = result
            if len(self._results) > self._limit:
                self._results.popitem(last=False)
            return result
        self.hits += 1
        self._results.move_to_end(key)
        return result
