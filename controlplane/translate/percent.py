"""Istio's percentages as Envoy's fractions."""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.type.v3 import percent_pb2

PER_PERCENT = 10_000  # a millionth is the finest fraction that Envoy draws


def fractional(percent: float) -> Any:
    """envoy.type.v3.FractionalPercent of 0 to 100 in millionths."""
    return percent_pb2.FractionalPercent(
        numerator=round(percent * PER_PERCENT), denominator=percent_pb2.FractionalPercent.MILLION
    )


def hundred() -> Any:
    """All of it, in hundredths."""
    return percent_pb2.FractionalPercent(numerator=100)


def runtime(fraction: Any) -> Any:
    """RuntimeFractionalPercent with that default and no runtime key."""
    return base_pb2.RuntimeFractionalPercent(default_value=fraction)
