"""What the values of CEL expressions are made of and what operators do to them, as closures over a finished request.

Source: cel-spec, langdef.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sidecar.telemetry.stream_info import StreamInfo

Evaluate = Callable[[StreamInfo], Any]


class NoValue(Exception):
    """An expression has no value for a request: a missing header, a comparison of unlike types."""


def constant(value: Any) -> Evaluate:
    """A literal."""
    return lambda info: value


def truth(value: Any) -> bool:
    """A boolean; anything else has no value here."""
    if value is True or value is False:
        return value
    raise NoValue


def text_of(value: Any) -> str:
    """A string; anything else has no value here."""
    if isinstance(value, str):
        return value
    raise NoValue


def either(left: Evaluate, right: Evaluate, decisive: bool) -> Evaluate:
    """`||` (True decides) and `&&` (False decides); an error on one side does not matter where the other decides."""

    def value(info: StreamInfo) -> bool:
        try:
            if truth(left(info)) is decisive:
                return decisive
        except NoValue:
            if truth(right(info)) is decisive:
                return decisive
            raise
        return truth(right(info))

    return value


def index(value: Evaluate, key: Evaluate) -> Evaluate:
    """`value[key]`, of a list or a map."""
    def item(info: StreamInfo) -> Any:
        container, name = value(info), key(info)
        try:
            found = container[name] if isinstance(container, Mapping | list) else None
        except (KeyError, IndexError, TypeError):
            found = None
        if found is None:
            raise NoValue
        return found

    return item


def exists(argument: Evaluate, info: StreamInfo) -> bool:
    """`has(argument)`."""
    try:
        argument(info)
    except NoValue:
        return False
    return True


def operation(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    """A binary operator but `||` and `&&`."""
    if operator == "==":
        return lambda info: _equal(left(info), right(info))
    if operator == "!=":
        return lambda info: not _equal(left(info), right(info))
    return lambda info: _operate(operator, left(info), right(info))


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b if isinstance(b, list | Mapping) else _no_value(),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b if not isinstance(a, str | list) and not isinstance(b, str | list) else _no_value(),
    # CEL cuts towards zero, and keeps the sign of what is divided.
    "/": lambda a, b: _divide(a, b) if isinstance(a, int) and isinstance(b, int) else a / b,
    "%": lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1) if isinstance(a, int) else _no_value(),
}


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) is (right < 0) else -quotient


def _no_value() -> Any:
    raise NoValue


def _operate(operator: str, left: Any, right: Any) -> Any:
    try:
        return _OPERATORS[operator](left, right)
    except (TypeError, ZeroDivisionError):
        raise NoValue from None


def compare_texts(name: str, value: Any, other: Any) -> bool:
    """contains, startsWith, endsWith."""
    value, other = text_of(value), text_of(other)
    if name == "startsWith":
        return bool(value.startswith(other))
    return bool(value.endswith(other)) if name == "endsWith" else other in value


def call(name: str, value: Any) -> Any:
    """size, int, double."""
    try:
        if name == "size":
            return len(value)
        return int(value) if name == "int" else float(value)
    except (TypeError, ValueError):
        raise NoValue from None
