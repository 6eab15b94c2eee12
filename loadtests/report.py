"""The benchmark's report as text: tables beside their aims. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CPU_RATIO_AIM = 0.9
ACK_P99_AIM_MS = 30.0
FIRST_PAGE_AIM_S = 8.0
MEMORY_AIM_MB = 700.0
TELEMETRY_RATIO_AIM = 1.1
SPANS_PER_CORE_AIM = 10_000
# Others' share of the machine above which the numbers are not worth keeping.
QUIET_CPUS = 0.2

DATAPATH_ROWS = (
    ("CPU per request", "cpu_us", "µs"),
    ("CPU, least of all rounds", "cpu_us_least", "µs"),
    ("requests per second", "requests_per_s", ""),
    ("p50", "p50_ms", "ms"),
    ("p99", "p99_ms", "ms"),
    ("resident memory", "rss_mb", "MiB"),
    ("CPU busy", "cpu_share", ""),
    ("access log per request", "access_log_bytes", "bytes"),
    ("other programs' CPUs", "foreign_cpus", ""),
)


def text_of(report: dict[str, Any]) -> str:
    """The whole report: a section for each part that ran, an error where one failed."""
    parts = []
    for title, key, section in (
        ("Data path", "datapath", datapath_section),
        ("Cost of telemetry", "telemetry", telemetry_section),
        ("Spans into the tracing service", "tracing", tracing_section),
        ("Start-up and memory", "footprint", footprint_section),
        ("Apply to ACK", "push", push_section),
    ):
        if key in report:
            body = report[key]
            parts.append(f"{title}\n" + (f"  failed: {body['error']}" if "error" in body else section(body)))
    return "\n\n".join(parts)


def datapath_section(part: dict[str, Any]) -> str:
    """The two proxies side by side."""
    ratio = part["ratio_python_to_envoy"]
    rows: list[tuple[str, ...]] = [("", "python", "envoy", "ratio")]
    for label, key, unit in DATAPATH_ROWS:
        values = [f"{part[proxy][key]:g} {unit}".rstrip() for proxy in ("python", "envoy")]
        rows.append((label, *values, f"{ratio[key]['median']:g}" if key in ratio else ""))
    load = part["load"]
    disturbance = max(part[proxy]["foreign_cpus"] for proxy in ("python", "envoy"))
    warning = f"\n  disturbed: other programs used {disturbance:g} CPUs meanwhile; measure again on a quiet machine"
    cpu = ratio["cpu_us"]
    text = "\n".join(
        [
            f"  {part['scenario']}",
            f"  {load['tool']}, {load['connections']} connections, {load['rounds']} rounds of {load['seconds']:g} s",
            table(rows),
            f"  CPU ratio {cpu['median']:g} ({cpu['min']:g} to {cpu['max']:g}); {aim(cpu['median'], CPU_RATIO_AIM)}",
        ]
    )
    return text + (warning if disturbance > QUIET_CPUS else "")


def telemetry_section(part: dict[str, Any]) -> str:
    """Each state of each proxy beside the one that has an access log alone; the aim is the Python sidecar's at 1 %."""
    rows: list[tuple[str, ...]] = [("CPU per request", "log alone", "µs", "ratio", "least", "most", "spans a request")]
    lines = []
    for case in part["cases"]:
        name = f"{case['kind']}: {case['what']}" + (", unsampled trace passed on" if case["passed_on"] else "")
        ratio = case["cpu_ratio"]
        ratios = [f"{ratio[key]:.2f}" for key in ("median", "min", "max")]
        times = [f"{case[key]:g}" for key in ("base_cpu_us", "cpu_us")]
        rows.append((name, *times, *ratios, f"{case['spans_per_request']:g}"))
        if case["kind"] == "python" and case["state"] == "traced-1":
            where = "a trace passed on unsampled" if case["passed_on"] else "a trace that begins here"
            lines.append(f"  metrics and tracing at 1 %, {where}: {aim(ratio['median'], TELEMETRY_RATIO_AIM)}")
    load = part["load"]
    disturbance = max(case["foreign_cpus"] for case in part["cases"])
    if disturbance > QUIET_CPUS:
        lines.append(
            f"  disturbed: other programs used {disturbance:g} CPUs meanwhile; measure again on a quiet machine"
        )
    return "\n".join(
        [
            f"  {load['tool']}, {load['connections']} connections, {load['rounds']} rounds of {load['seconds']:g} s,"
            " each beside its base on one CPU;\n  spans at 1 % go to services.tracing, at 100 % to a sink",
            table(rows),
            *lines,
        ]
    )


def tracing_section(part: dict[str, Any]) -> str:
    """What a core of it takes."""
    rate = part["spans_per_core_s"]
    verdict = "met" if rate >= SPANS_PER_CORE_AIM else f"missed ({rate:g})"
    return "\n".join(
        [
            f"  {part['spans']} spans by OTLP over gRPC, {part['batch']} a batch: {part['spans_per_s']} a second,"
            f" {part['cpu_us_per_span']:g} µs of CPU each; resident at most {max(part['rss_mb']):g} MiB",
            f"  {rate} a second and core; aim ≥ {SPANS_PER_CORE_AIM}: {verdict}",
        ]
    )


def footprint_section(part: dict[str, Any]) -> str:
    """Start-up, and a row a component."""
    rows = [("component", "RSS MiB", "PSS MiB")]
    for name, row in part["memory"]["components"].items():
        rows.append((name, f"{row['rss_mb']:.1f}", f"{row['pss_mb']:.1f}"))
    total = part["memory"]["total"]
    rows.append(("total", f"{total['rss_mb']:.1f}", f"{total['pss_mb']:.1f}"))
    return "\n".join(
        [
            f"  first 200 after {part['first_page_s']:.2f} s; {aim(part['first_page_s'], FIRST_PAGE_AIM_S, ' s')}",
            table(rows),
            f"  memory of the whole mesh (PSS): {aim(total['pss_mb'], MEMORY_AIM_MB, ' MiB')}",
        ]
    )


def push_section(part: dict[str, Any]) -> str:
    """Percentiles of the three times."""
    rows: list[tuple[str, ...]] = [("ms", "p50", "p99", "min", "max")]
    for label, key in (
        ("write to ACK, each proxy", "ack_ms"),
        ("write to the last ACK", "slowest_ack_ms"),
        ("as the caller waits", "wall_ms"),
    ):
        rows.append((label, *(f"{part[key][column]:g}" for column in ("p50", "p99", "min", "max"))))
    return "\n".join(
        [
            f"  {part['applies']} changes, {part['proxies']} proxies acknowledging each",
            table(rows),
            f"  p99 to the last ACK: {aim(part['slowest_ack_ms']['p99'], ACK_P99_AIM_MS, ' ms')}",
        ]
    )


def aim(value: float, limit: float, unit: str = "") -> str:
    """`aim ≤ 30 ms: met`, or by how much it was missed."""
    return f"aim ≤ {limit:g}{unit}: " + ("met" if value <= limit else f"missed ({value:g}{unit})")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
