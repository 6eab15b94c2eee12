"""The report's text."""

from loadtests.report import aim, table, text_of

PROXY = {
    "cpu_us": 14.5,
    "cpu_us_least": 13.5,
    "requests_per_s": 20000,
    "p50_ms": 0.8,
    "p99_ms": 2,
    "rss_mb": 48,
    "cpu_share": 0.3,
    "access_log_bytes": 300,
    "foreign_cpus": 0.1,
}


def case(kind, state, what, passed_on=False, **more):
    row = {"kind": kind, "state": state, "what": what, "passed_on": passed_on}
    return {**row, "base_cpu_us": 65.0, "cpu_us": 70.0, "spans_per_request": 0.01, "foreign_cpus": 0.1, **more}


REPORT = {
    "machine": {},
    "datapath": {
        "scenario": "a scenario",
        "load": {"tool": "wrk", "connections": 16, "rounds": 5, "seconds": 5.0},
        "python": PROXY,
        "envoy": {**PROXY, "cpu_us": 29.0},
        "ratio_python_to_envoy": {
            key: {"median": 0.5, "min": 0.4, "max": 0.6} for key in ("cpu_us", "p50_ms", "p99_ms", "rss_mb")
        },
    },
    "telemetry": {
        "load": {"tool": "wrk", "connections": 16, "rounds": 5, "seconds": 2.0},
        "cases": [
            case("python", "traced-1", "+ tracing", cpu_ratio={"median": 1.05, "min": 1.01, "max": 1.2}),
            case("python", "traced-1", "+ tracing", passed_on=True, cpu_ratio={"median": 1.12, "min": 1, "max": 1.2}),
            case("envoy", "traced-1", "+ tracing", cpu_ratio={"median": 1.5, "min": 1.4, "max": 1.6}),
        ],
    },
    "tracing": {
        "spans": 1000,
        "batch": 300,
        "spans_per_s": 9000,
        "spans_per_core_s": 12000,
        "cpu_us_per_span": 83.3,
        "rss_mb": [90.0, 91.5],
    },
    "footprint": {
        "first_page_s": 9.5,
        "memory": {
            "components": {"lab": {"rss_mb": 40.0, "pss_mb": 30.0}},
            "total": {"rss_mb": 40.0, "pss_mb": 30.0},
        },
    },
    "push": {
        "applies": 20,
        "proxies": 9,
        **{key: {"p50": 5.0, "p99": 12.25, "min": 1.0, "max": 20.0} for key in ("ack_ms", "slowest_ack_ms", "wall_ms")},
    },
}


def test_the_whole_report():
    text = text_of(REPORT)
    assert "CPU ratio 0.5 (0.4 to 0.6); aim ≤ 0.9: met" in text
    assert "14.5 µs" in text
    assert "tracing at 1 %, a trace that begins here: aim ≤ 1.1: met" in text
    assert "tracing at 1 %, a trace passed on unsampled: aim ≤ 1.1: missed (1.12)" in text
    assert text.count("metrics and tracing at 1 %") == 2  # Envoy's is for comparison
    assert "aim ≥ 10000: met" in text
    assert "first 200 after 9.50 s; aim ≤ 8 s: missed (9.5 s)" in text
    assert "aim ≤ 700 MiB: met" in text
    assert "p99 to the last ACK: aim ≤ 30 ms: met" in text


def test_a_busy_machine_is_said():
    assert "disturbed" not in text_of(REPORT)
    busy = {**REPORT["datapath"], "envoy": {**PROXY, "foreign_cpus": 1.5}}
    assert "disturbed: other programs used 1.5 CPUs" in text_of({"datapath": busy})


def test_a_part_that_failed_is_said_and_the_others_are_shown():
    text = text_of({**REPORT, "datapath": {"error": "NotReady: no Envoy"}})
    assert "failed: NotReady: no Envoy" in text
    assert "Apply to ACK" in text


def test_only_what_ran_is_shown():
    assert "Data path" not in text_of({"push": REPORT["push"]})


def test_aim():
    assert aim(30, 30.0, " ms") == "aim ≤ 30 ms: met"


def test_table_pads_columns():
    assert table([("a", "1"), ("long", "22")]) == "  a      1\n  long  22"
