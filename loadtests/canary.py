"""A canary release of reviews under load: v1 90 % and v3 10 %, half and half, then v3 alone, each step measured.

    python -m loadtests.canary [--url URL] [--rate 50] [--users N] [--step-time 10s] [--out DIR] [-o json]

Needs a running mesh (`lugsail up`), and leaves it at the last step. Exit code: 0 every step as announced and no failed
request, 1 not so, 64 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from loadtests.load import reviews
from loadtests.load.assertions import SPLIT_CONFIDENCE, parse
from loadtests.load.background import BackgroundLoad, between
from loadtests.load.launch import LoadFailed, require_libraries
from loadtests.load.picture import draw
from loadtests.load.recorder import split_report
from loadtests.load.settings import BadSetting, Settings, check, duration_s, new_run_id, users_for
from loadtests.load.table import milliseconds, step_table

STEPS = ({"v1": 90, "v3": 10}, {"v1": 50, "v3": 50}, {"v3": 100})
# Requests that were on their way when the last proxy acknowledged still follow the old rule.
SETTLE_S = 0.5
USAGE = 64


@dataclass(frozen=True, slots=True)
class Step:
    """One step as done: from when all proxies had it to when it ended, in seconds of the load."""

    shares: dict[str, int]
    start_s: float
    end_s: float

    @property
    def expression(self) -> str:
        """What must hold of its split."""
        return "split reviews " + " ".join(f"{version}={share}%" for version, share in self.shares.items())


def run(settings: Settings, step_s: float) -> tuple[dict[str, Any], list[Step]]:
    """The load's results and the steps; raises LoadFailed and ApplyFailed."""
    reviews.apply(reviews.subsets() + "\n---\n" + reviews.virtual_service(STEPS[0]))
    steps = []
    with BackgroundLoad(settings) as load:
        for shares in STEPS:
            reviews.apply(reviews.virtual_service(shares))
            start_s = load.seconds + SETTLE_S
            end_s = ceil(start_s) + step_s
            while load.seconds < end_s and not load.is_over:
                time.sleep(min(0.2, max(0.0, end_s - load.seconds)))
            if load.is_over:
                break
            steps.append(Step(shares, start_s, end_s))
        result = load.finish()
    if len(steps) < len(STEPS):
        raise LoadFailed("the load ended before the last step; is the gateway up?")
    return result, steps


def judge(result: dict[str, Any], steps: list[Step]) -> list[dict[str, Any]]:
    """Each step with what the load saw in it."""
    judged = []
    for step in steps:
        seen = between(result["series"], step.start_s, step.end_s)
        split = split_report(seen["split"])
        verdict = parse(step.expression).judge({"split": {"reviews": split}})
        judged.append(
            {
                "expected": step.shares,
                "from_s": round(step.start_s, 3),
                "to_s": round(step.end_s, 3),
                **{key: seen[key] for key in ("requests", "failures", "worst_p99_ms")},
                "split": split,
                "ok": verdict.ok and not seen["failures"],
                "observed": verdict.observed,
            }
        )
    return judged


def text_of(report: dict[str, Any]) -> str:
    """The table of the steps, and a sentence on the whole."""
    rows = []
    for number, step in enumerate(report["steps"], 1):
        expected = " ".join(f"{version} {share} %" for version, share in step["expected"].items())
        seen = ", ".join(
            f"{version} {100 * one['share']:.1f} % ({100 * one['low']:.1f}–{100 * one['high']:.1f})"
            for version, one in step["split"]["versions"].items()
        )
        cells = (number, expected, seen, step["requests"], step["failures"], milliseconds(step["worst_p99_ms"]))
        rows.append((*cells, "as announced" if step["ok"] else "NOT as announced"))
    header = ("STEP", "ANNOUNCED", "OBSERVED (95 % INTERVAL)", "REQUESTS", "FAILED", "WORST P99", "VERDICT")
    totals = report["totals"]
    whole = f"{totals['sent']} requests in all, {totals['failures']} failed, also while steps changed"
    return f"{step_table(header, rows)}\n\n{whole}; judged at {100 * SPLIT_CONFIDENCE:g} % confidence."


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.canary", description="A canary of reviews under load.")
    parser.add_argument("--url", help="where Bookinfo answers; default: the running mesh's gateway")
    parser.add_argument("--rate", type=float, default=50.0, help="requests per second (default 50)")
    parser.add_argument("--users", type=int, help="default: as the rate needs")
    parser.add_argument("--step-time", default="10s", help="how long each step is observed (default 10s)")
    parser.add_argument("--out", type=Path, default=Path("load-results"), help="folder for JSON and picture")
    parser.add_argument("-o", "--output", choices=["json"], help="json: print the report as JSON")
    args = parser.parse_args(argv)
    try:
        step_s = duration_s(args.step_time)
        settings = Settings(
            url=args.url or mesh_gateway(),
            users=args.users or users_for(args.rate),
            rate_per_s=args.rate,
            duration_s=len(STEPS) * (step_s + 40),  # it is ended when the steps are
            scenario="split",
            run_id=new_run_id(),
        )
        check(settings)
    except BadSetting as problem:
        print(f"canary: {problem}", file=sys.stderr)
        return USAGE
    try:
        require_libraries("locust", "matplotlib")
        result, steps = run(settings, step_s)
        report = {**result, "interrupted": False, "steps": judge(result, steps)}
        written = write(
            report,
            args.out,
            "canary",
            [(step["from_s"] - SETTLE_S, label(step["expected"])) for step in report["steps"]],
        )
    except (LoadFailed, reviews.ApplyFailed, OSError) as problem:
        print(f"canary: {problem}", file=sys.stderr)
        return 1
    print(
        json.dumps(report, indent=2) if args.output else f"{text_of(report)}\nwritten: {', '.join(map(str, written))}"
    )
    return 0 if all(step["ok"] for step in report["steps"]) and not report["totals"]["failures"] else 1


def label(shares: dict[str, int]) -> str:
    """`v1 90 / v3 10`."""
    return " / ".join(f"{version} {share}" for version, share in shares.items())


def write(report: dict[str, Any], folder: Path, name: str, marks: list[tuple[float, str]]) -> list[Path]:
    """NAME.json and the picture; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return [path, *draw(report, folder, name, marks)]


def mesh_gateway() -> str:
    """The running mesh's gateway; raises BadSetting."""
    from lugsail.lab import running
    from lugsail.lab.errors import LabError

    try:
        return str(running.find(None).status()["gateway"])
    except LabError as problem:
        raise BadSetting(str(problem)) from problem


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
