"""/stats in Envoy's text and JSON."""

from __future__ import annotations

import json
import re

from sidecar.telemetry.prometheus import is_used
from sidecar.telemetry.stats import Histogram, Metric, Stats

_QUANTILES = (0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100)


def stats_text(stats: Stats, name_filter: re.Pattern[str] | None, used_only: bool) -> str:
    """`name: value` lines; histograms last, with their quantiles."""
    lines = sorted(
        f"{shown_name(metric)}: {_number(metric.value)}"
        for metric in (*stats.counters(), *stats.gauges())
        if _wanted(metric, name_filter, used_only)
    )
    lines += sorted(
        f"{shown_name(histogram)}: {_quantiles_text(histogram)}"
        for histogram in stats.histograms()
        if _wanted(histogram, name_filter, used_only)
    )
    return "".join(line + "\n" for line in lines)


def stats_json(stats: Stats, name_filter: re.Pattern[str] | None, used_only: bool) -> str:
    """{"stats": [{"name", "value"}, …, {"histograms": {"supported_quantiles", "computed_quantiles"}}]}"""
    entries: list[dict[str, object]] = [
        {"name": shown_name(metric), "value": _number(metric.value)}
        for metric in (*stats.counters(), *stats.gauges())
        if _wanted(metric, name_filter, used_only)
    ]
    entries.sort(key=lambda entry: str(entry["name"]))
    histograms = [
        {
            "name": shown_name(histogram),
            "values": [{"interval": None, "cumulative": histogram.quantile(q / 100)} for q in _QUANTILES],
        }
        for histogram in stats.histograms()
        if _wanted(histogram, name_filter, used_only)
    ]
    if histograms:
        entries.append({"histograms": {"supported_quantiles": list(_QUANTILES), "computed_quantiles": histograms}})
    return json.dumps({"stats": entries})


def shown_name(metric: Metric) -> str:
    """The name with its labels, as Prometheus would write them."""
    if not metric.labels:
        return metric.name
    return metric.name + "{" + ",".join(f'{name}="{value}"' for name, value in metric.labels) + "}"


def _wanted(metric: Metric, name_filter: re.Pattern[str] | None, used_only: bool) -> bool:
    if name_filter is not None and not name_filter.search(metric.name):
        return False
    return is_used(metric) if used_only else True


def _quantiles_text(histogram: Histogram) -> str:
    if not histogram.count:
        return "No recorded values"
    # Envoy prints (interval, cumulative); we keep no intervals.
    return " ".join(f"P{q:g}(nan,{_number(round(histogram.quantile(q / 100) or 0, 3))})" for q in _QUANTILES)


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value
