"""Waits until the proxies have taken what was written, and says how that went."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from lugsail.cli.output import FAILURE, GREEN, USAGE, CliError, error, paint, warn
from lugsail.client import ApiError, Client

WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until every affected proxy has acknowledged the change.")
]
TimeoutOption = Annotated[str, typer.Option("--timeout", help="How long to wait: 10s, 500ms, 1m.")]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

REASON_LINES, REASON_CHARACTERS = 4, 500
XDS_TYPES = ("CDS", "EDS", "LDS", "RDS", "SDS")

# Of several writes, a proxy's worst state counts.
_WORST_FIRST = ("NACKED", "PENDING", "DISCONNECTED", "ACKED", "UNAFFECTED")


@dataclass
class Outcome:
    """How one proxy took the writes. `ms` counts from the write to its last acknowledgement."""

    proxy: str
    state: str
    ms: float | None
    types: list[str]
    error: str | None


def parse_timeout(text: str) -> float:
    """Seconds of `10s`, `500ms`, `1m` or a bare number; raises CliError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise CliError(f"--timeout {text}: expected a duration such as 10s, 500ms or 1m.", USAGE)
    return float(match[1]) * _UNIT_S[match[2] or "s"]


def wait_for(client: Client, revisions: Sequence[int], timeout_s: float) -> list[Outcome]:
    """Each connected proxy's outcome over all the revisions, worst state first counted."""
    outcomes: dict[str, Outcome] = {}
    for revision in revisions:
        for line in client.distribution(revision, timeout_s):
            if "proxy" in line:
                _merge(outcomes, line)
            elif line.get("done"):
                for proxy in line.get("pending") or ():
                    _merge(outcomes, {"proxy": proxy, "state": "PENDING"})
    return sorted(outcomes.values(), key=lambda outcome: outcome.proxy)


def _merge(outcomes: dict[str, Outcome], line: dict[str, Any]) -> None:
    new = Outcome(line["proxy"], line["state"], line.get("ms"), list(line.get("types") or ()), line.get("error"))
    old = outcomes.get(new.proxy)
    if old is None:
        outcomes[new.proxy] = new
        return
    worse = min((old, new), key=lambda outcome: _rank(outcome.state))
    times = [outcome.ms for outcome in (old, new) if outcome.ms is not None]
    types = list(dict.fromkeys((*old.types, *new.types)))
    outcomes[new.proxy] = Outcome(new.proxy, worse.state, max(times, default=None), types, worse.error)


def _rank(state: str) -> int:
    return _WORST_FIRST.index(state) if state in _WORST_FIRST else 0


def report(client: Client, revisions: Sequence[int], timeout_s: float) -> tuple[int, list[Outcome]]:
    """Wait, print, and give the exit code: 1 when a proxy rejected the change or did not answer in time."""
    try:
        outcomes = wait_for(client, revisions, timeout_s)
    except ApiError as problem:
        if problem.status == 404:
            warn("The control plane does not say who has acknowledged; not waiting.")
            return 0, []
        raise
    print_outcomes(outcomes, timeout_s)
    return exit_code(outcomes), outcomes


def exit_code(outcomes: Iterable[Outcome]) -> int:
    return FAILURE if any(outcome.state in ("NACKED", "PENDING") for outcome in outcomes) else 0


def print_outcomes(outcomes: Sequence[Outcome], timeout_s: float) -> None:
    """A summary, each proxy's milliseconds, then rejections with their text."""
    by_state: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_state.setdefault(outcome.state, []).append(outcome)
    acked = by_state.get("ACKED", [])
    unaffected = len(by_state.get("UNAFFECTED", []))
    if not outcomes:
        print("No proxy is connected; they will get it when they come.")
    elif acked:
        slowest = max(outcome.ms or 0.0 for outcome in acked)
        rest = f", {unaffected} unaffected" if unaffected else ""
        print(paint(GREEN, f"Acknowledged by {_proxies(len(acked))} in {slowest:.1f} ms{rest}"))
        cells = [f"{outcome.proxy} {outcome.ms or 0.0:.1f} ms" for outcome in acked]
        print(_columns(cells, shutil.get_terminal_size((120, 24)).columns))
    elif unaffected == len(outcomes):
        print(f"No proxy is affected ({_proxies(unaffected)} connected)")
    if rejected := by_state.get("NACKED"):
        print_rejections([(outcome.proxy, _reason(outcome)) for outcome in rejected])
        error("Rejecting proxies keep their last good configuration. Correct the resource and apply it, or delete it.")
    if pending := by_state.get("PENDING"):
        names = ", ".join(outcome.proxy for outcome in pending)
        error(f"Not acknowledged within {timeout_s:g} s: {names}. `lugsail proxy-status` follows them.")
    if gone := by_state.get("DISCONNECTED"):
        names = ", ".join(outcome.proxy for outcome in gone)
        warn(f"Disconnected meanwhile, and served when they return: {names}.")


def print_rejections(rejections: Iterable[tuple[str, str]]) -> None:
    """(proxy, `TYPE: reason`) each; what several proxies say alike is said once, and long lists are cut."""
    by_reason: dict[str, list[str]] = {}
    for proxy, reason in rejections:
        by_reason.setdefault(reason, []).append(proxy)
    for reason, proxies in by_reason.items():
        error(f"{', '.join(proxies)} rejected {shortened(reason, proxies[0])}")


def _reason(outcome: Outcome) -> str:
    """`CDS: …`; the control plane names the types, of which only some were rejected, where it can."""
    text = outcome.error or "no reason given"
    return text if text.partition(":")[0] in XDS_TYPES else f"{', '.join(outcome.types) or 'it'}: {text}"


def shortened(reason: str, proxy: str) -> str:
    """The first lines of a reason, and where the rest is: a patch of every cluster is rejected once for each."""
    lines = reason.splitlines() or [""]
    cut = [line if len(line) <= REASON_CHARACTERS else line[:REASON_CHARACTERS] + " …" for line in lines[:REASON_LINES]]
    if cut != lines:
        cut.append(f"All of it: lugsail proxy-status {proxy} -o json")
    return "\n  ".join(cut)


def _proxies(count: int) -> str:
    return "1 proxy" if count == 1 else f"{count} proxies"


def _columns(cells: Sequence[str], width: int) -> str:
    """The cells in as many even columns as fit."""
    cell = max(len(text) for text in cells) + 3
    across = max(1, (width - 2) // cell)
    lines = [cells[start : start + across] for start in range(0, len(cells), across)]
    return "\n".join("  " + "".join(text.ljust(cell) for text in line).rstrip() for line in lines)
