"""The scalar types of Istio's JSON: what a YAML value may look like for each protobuf scalar.

Istio reads its resources through protobuf's JSON mapping, so an integer may also be written as a decimal string or as
a whole float, and a duration is a string of Go's `time.ParseDuration`. Booleans are never numbers, and text is never
guessed from a number: `exact: 1` is a mistake worth telling.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1
# Go keeps a duration in a signed 64-bit count of nanoseconds.
DURATION_MAX_S = (2**63 - 1) / 1e9

_SECONDS_PER_UNIT = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)\Z")
_DURATION_PART = re.compile(r"([0-9]*\.?[0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_DECIMAL = re.compile(r"-?[0-9]{1,20}\Z")
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?\Z")


def parse_duration(text: str) -> float:
    """Seconds of a Go duration string such as "0.5s", "1h" or "1m30s".

    Raises ValueError for anything else, including a number without a unit ("0" alone is allowed, as in Go).
    """
    if not _DURATION.match(text):
        raise ValueError(f"{text!r} is not a duration")
    total_s = sum(float(number) * _SECONDS_PER_UNIT[unit] for number, unit in _DURATION_PART.findall(text))
    if total_s > DURATION_MAX_S:
        raise ValueError(f"{text!r} is longer than the 292 years that a duration can hold")
    return -total_s if text.startswith("-") else total_s


def _to_int(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    if isinstance(value, str):
        if not _DECIMAL.match(value):
            raise PydanticCustomError("int_type", "Input should be a valid integer")
        return int(value)
    return value


def _to_float(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    if isinstance(value, str):
        if not _NUMBER.match(value):
            raise PydanticCustomError("float_type", "Input should be a valid number")
        return float(value)
    return value


def _check_duration(value: str) -> str:
    try:
        parse_duration(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from None
    return value


Int32 = Annotated[int, Field(ge=-(2**31), le=INT32_MAX), BeforeValidator(_to_int)]
UInt32 = Annotated[int, Field(ge=0, le=UINT32_MAX), BeforeValidator(_to_int)]
UInt64 = Annotated[int, Field(ge=0, le=UINT64_MAX), BeforeValidator(_to_int)]
Double = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_to_float)]
Bool = Annotated[bool, Field(strict=True)]
# Kept as written; parse_duration gives the seconds.
Duration = Annotated[
    str, AfterValidator(_check_duration), WithJsonSchema({"type": "string", "format": "duration", "example": "1.5s"})
]
