"""A run's results as text: the summary table, the split with its intervals, the progress line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = ("REQUESTS", "SENT", "FAILED", "RPS", "P50", "P90", "P95", "P99", "MAX")


def summary_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each name of requests, then one for all."""
    return [_row(name, part) for name, part in result["names"].items()] + [_row("all", result["totals"])]


def _row(name: str, part: dict[str, Any]) -> tuple[str, ...]:
    latency = part["latency_ms"]
    shown = [milliseconds(latency[key]) for key in ("p50", "p90", "p95", "p99", "max")]
    return (name, str(part["sent"]), str(part["failures"]), f"{part['rps']:g}", *shown)


def milliseconds(value: float | None) -> str:
    """`8.1 ms`, `250 ms`, `1.25 s`, or a dash."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms"


def failure_lines(result: dict[str, Any]) -> list[str]:
    """Each kind of failure of each name of requests, the most frequent first."""
    found = [
        (count, name, kind) for name, part in result["names"].items() for kind, count in part["failure_kinds"].items()
    ]
    return [f"{count} × {name}: {kind}" for count, name, kind in sorted(found, key=lambda one: (-one[0], one[1:]))]


def status_line(result: dict[str, Any]) -> str:
    """How many were answered with which status; sent = answered + unanswered."""
    totals = result["totals"]
    statuses = ", ".join(f"{count} × {status}" for status, count in totals["statuses"].items() if status != "none")
    parts = [f"{totals['sent']} sent, {totals['answered']} answered ({statuses or 'none'})"]
    if totals["unanswered"]:
        parts.append(f"{totals['unanswered']} unanswered")
    if totals["unsent"]:
        parts.append(
            f"{totals['unsent']} of the schedule not sent (too few users, too slow answers, or stopped before its end)"
        )
    return "; ".join(parts)


def split_text(split: dict[str, Any]) -> str:
    """The observed split of reviews, with the interval of each share."""
    if not split["total"]:
        return "split of reviews: no answer showed a version"
    confidence = f"{100 * split['confidence']:g} %"
    shown = ", ".join(
        f"{version} {100 * one['share']:.1f} % ({100 * one['low']:.1f}–{100 * one['high']:.1f})"
        for version, one in split["versions"].items()
    )
    unknown = f"; {split['unknown']} without a version" if split["unknown"] else ""
    return f"split of reviews: {shown}; {split['total']} answers, exact intervals at {confidence}{unknown}"


def progress_text(second: dict[str, Any], duration_s: float) -> str:
    """One line on the run so far; `second` is the newest of the series with its overview."""
    overview = second["overview"]
    parts = [
        f"{second['second'] + 1} s of {duration_s:g} s",
        f"{overview['sent']} sent",
        f"{second['rps']}/s",
        f"{overview['failures']} failed",
        f"p50 {milliseconds(overview['p50_ms'])}",
        f"p99 {milliseconds(overview['p99_ms'])}",
    ]
    if overview["split"]:
        parts.append(split_shares(overview["split"]))
    return " · ".join(parts)


def split_shares(counts: dict[str, int]) -> str:
    """`v1 90 % v3 10 %`."""
    total = sum(counts.values())
    return " ".join(f"{version} {100 * count / total:.0f} %" for version, count in counts.items()) if total else "-"


def step_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, for programs that are not part of the command."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
