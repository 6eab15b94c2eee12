"""`make bench`: what the mesh costs, as a table and as JSON.

    python -m loadtests.bench [--quick] [--only datapath|telemetry|tracing|lab] [--json FILE]

Parts: `datapath` (CPU per request of the Python proxy beside Envoy on the same xDS), `telemetry` (the same without and
with access log, metrics and tracing), `tracing` (spans a second into the tracing service), `lab` (a whole lab: time to
the first 200, memory by component, apply to ACK). Exit code 0 when every part could be measured, whatever the
numbers say; 1 when a part failed; the report says which. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests import datapath, footprint, push, report, tracing_ingest
from loadtests.lab_run import LabRun
from loadtests.telemetry_cost import measure as telemetry_cost
from lugsail.lab.addressing import Subnet
from lugsail.lab.paths import source_root

DEFAULT_SUBNET = "127.60"
SETTLE_S = 2.0
FULL = datapath.Settings()
QUICK = datapath.Settings(rounds=2, seconds=2.0)
TELEMETRY_ROUNDS = 5  # a round has fourteen loads
SPANS, QUICK_SPANS, SPAN_BATCH, TRACES_SIZE = 200_000, 40_000, 300, "512MB"


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    args = parse(argv)
    settings = datapath.Settings(
        rounds=args.rounds or (QUICK if args.quick else FULL).rounds,
        seconds=args.seconds or (QUICK if args.quick else FULL).seconds,
        connections=args.connections,
    )
    subnet = Subnet.parse(args.subnet)
    result: dict[str, Any] = {"machine": machine(), "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if args.only in (None, "datapath"):
        note("data path: starting a control plane, both proxies and a backend")
        result["datapath"] = attempt(lambda: datapath.measure(settings, subnet, note))
    if args.only in (None, "telemetry"):
        note("telemetry: starting two control planes, ten proxies, tracing, metrics and a backend")
        rounds = args.rounds or min(settings.rounds, TELEMETRY_ROUNDS)
        fewer = replace(settings, rounds=rounds)
        result["telemetry"] = attempt(lambda: telemetry_cost.measure(fewer, subnet, note))
    if args.only in (None, "tracing"):
        note("tracing: spans into the tracing service")
        spans = QUICK_SPANS if args.quick else SPANS
        result["tracing"] = attempt(lambda: tracing_ingest.measure(spans, SPAN_BATCH, TRACES_SIZE))
    if args.only in (None, "lab"):
        note("lab: lugsail up")
        result |= measure_lab(subnet, args.proxy, args.applies or (20 if args.quick else 200))
    print(report.text_of(result))
    path = Path(args.json) if args.json else source_root() / "bench-results" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    note(f"written to {path}")
    return 1 if any("error" in part for part in result.values() if isinstance(part, dict)) else 0


def measure_lab(subnet: Subnet, proxy: str, applies: int) -> dict[str, Any]:
    """The parts `footprint` and `push`, from one lab."""
    parts: dict[str, Any] = {}

    def measure() -> dict[str, Any]:
        with LabRun(subnet.prefix, proxy) as lab:
            time.sleep(SETTLE_S)  # memory right after the start still holds what starting took
            state = lab.state
            parts["footprint"] = {
                "first_page_s": round(lab.first_page_s, 3),
                "proxy": proxy,
                "up_s": round(lab.up_s, 3),
                "memory": footprint.memory_of(state),
            }
            note(f"lab: {applies} applies")
            return push.measure(state.control_plane_url, applies)

    parts["push"] = attempt(measure)
    if "error" in parts["push"]:
        parts.setdefault("footprint", parts["push"])
    return parts


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a part measured, or its error: one part that fails does not take the others along."""
    try:
        return measure()
    except Exception as error:
        note(f"failed: {type(error).__name__}: {error}")
        return {"error": f"{type(error).__name__}: {error}"}


def machine() -> dict[str, Any]:
    """Where the numbers come from."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


def note(text: str) -> None:
    """A progress line, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description="What the mesh costs.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about three minutes")
    parser.add_argument("--only", choices=("datapath", "telemetry", "tracing", "lab"))
    parser.add_argument("--proxy", choices=("python", "envoy"), default="python", help="the lab's (default python)")
    parser.add_argument("--json", metavar="FILE", help="default: bench-results/TIME.json")
    parser.add_argument("--rounds", type=int, help=f"of the data path, each on both proxies (default {FULL.rounds})")
    parser.add_argument("--seconds", type=float, help=f"of load per proxy and round (default {FULL.seconds:g})")
    parser.add_argument("--connections", type=int, default=FULL.connections)
    parser.add_argument("--applies", type=int, help="changes to push (default 200)")
    parser.add_argument("--subnet", default=DEFAULT_SUBNET, help=f"loopback addresses (default {DEFAULT_SUBNET})")
    return parser.parse_args(argv)


if __name__ == "__main__":
    # As Ctrl-C does: unwind, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
