"""`lugsail load`: drives Bookinfo through the gateway with locust, judges what it saw, and ends with an exit code."""

from __future__ import annotations

import random
import signal
import socket
import sys
import time as clock
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from lugsail.cli.connect import ProjectOption, running_mesh
from lugsail.cli.output import DIM, FAILURE, GREEN, RED, USAGE, CliError, as_json, check_format, paint, table

EXAMPLES = """\b
Examples:
  lugsail load --rate 50 --time 30s                         a steady 50 requests per second over all users
  lugsail load --scenario split --rate 100 --time 20s --assert 'split reviews v1=90% v3=10%' --assert 'errors==0'
  lugsail load --users 20 --shape spike --assert 'p99(/productpage)<300ms' --out results
  lugsail load --web                                        locust's own page, on http://127.0.0.1:8089"""

CONNECT_S = 3.0
POLL_S = 0.25
PLAIN_EVERY_S = 5
INTERRUPTED = 130


def load(
    users: Annotated[
        int | None, typer.Option(metavar="N", help="Users. Default: 10, or a quarter of --rate where that is more.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="R", help="Requests per second over all users, sent when due (else users think 0.5–1.5 s)."
        ),
    ] = None,
    time: Annotated[str, typer.Option(metavar="DURATION", help="How long, such as 30s, 5m or 1h.")] = "30s",
    scenario: Annotated[
        str, typer.Option(metavar="NAME", help="browse, api, split (the page alone), or mixed: all of them.")
    ] = "mixed",
    shape: Annotated[
        str,
        typer.Option(metavar="NAME", help="steady; steps: 25, 50, 75, 100 %; spike: 25 %, 100 % for a fifth, 25 %."),
    ] = "steady",
    url: Annotated[
        str | None, typer.Option(help="Where Bookinfo answers. Default: the running mesh's gateway.")
    ] = None,
    user_name: Annotated[
        str, typer.Option(metavar="NAME", help="Who signs in, such as jason. Default: somebody else at random.")
    ] = "",
    assertions: Annotated[
        list[str] | None,
        typer.Option("--assert", metavar="EXPR", help="What must hold, such as 'p99<300ms'; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write results.json, load.png and load.svg there.")
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="Wait so long at most for a good page before the load begins.")
    ] = "0s",
    web: Annotated[bool, typer.Option("--web", help="Open locust's own page instead; Ctrl-C ends it.")] = False,
    seed: Annotated[int | None, typer.Option(help="Makes users' choices the same again. Default: at random.")] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="json: the results instead of tables.")] = None,
    project: ProjectOption = None,
) -> int:
    """Put load on Bookinfo and see what comes back: bodies, not only statuses.

    A page that says that reviews or ratings failed is a failure, though its status is 200. With --rate, latencies count
    from when a request was due, so that a stall costs all that it delayed.

    Assertions: p50 p90 p95 p99 p99.9 max mean (ms, s), errors (number or %), rps, requests, each also of one name as in
    p95(/productpage)<1s; and split reviews v1=90% v3=10%, which holds where the expected share lies within the exact
    99.9 % interval of what was observed (or within ±5% where that stands at its end).

    Exit code: 0 all held, 1 an assertion failed, 64 wrong usage, 130 ended early by Ctrl-C.
    """
    from loadtests.load import assertions as expressions
    from loadtests.load.launch import LoadFailed, LoadRun, require_libraries
    from loadtests.load.settings import BadSetting, Settings, check, duration_s, new_run_id, users_for

    check_format(output, ["json"])
    try:
        wanted = [expressions.parse(each) for each in assertions or []]
        if rate is not None and rate <= 0:
            raise BadSetting(f"--rate {rate:g}: must be over 0")
        settings = Settings(
            url="http://127.0.0.1:1",  # checked below, after everything that needs no mesh
            users=users_for(rate or 0) if users is None else users,
            rate_per_s=rate or 0.0,
            duration_s=duration_s(time),
            scenario=scenario,
            shape=shape,
            user_name=user_name,
            seed=random.randrange(2**31) if seed is None else seed,
            run_id=new_run_id(),
        )
        check(settings)
        wait_s = duration_s(wait)
    except (BadSetting, expressions.BadAssertion) as problem:
        raise CliError(str(problem), USAGE) from problem
    settings = _with_url(settings, url or gateway_url(project), wait_s)
    if out is not None:
        _make_folder(out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `docker stop` ends a run as Ctrl-C does
    try:
        require_libraries("locust", *(["matplotlib"] if out is not None else []))
        if web:
            return _open_page(settings)
        with LoadRun(settings) as run:
            result = run.follow(_Progress(settings.duration_s, settings.run_id, sys.stderr))
    except LoadFailed as problem:
        raise CliError(str(problem)) from problem
    verdicts = [each.judge(result) for each in wanted]
    result["assertions"] = [{"expression": v.expression, "ok": v.ok, "observed": v.observed} for v in verdicts]
    written = _write(result, out) if out is not None else []
    print(as_json(result) if output == "json" else _summary(result, written))
    if not all(verdict.ok for verdict in verdicts):
        return FAILURE
    return INTERRUPTED if result["interrupted"] else 0


def _with_url(settings: Any, url: str, wait_s: float) -> Any:
    """The settings with that URL; raises CliError where nothing answers there."""
    from dataclasses import replace

    from loadtests.load.settings import BadSetting, check

    try:
        settings = check(replace(settings, url=url.rstrip("/")))
        parts = urlsplit(settings.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (BadSetting, ValueError) as problem:
        text = str(problem) if isinstance(problem, BadSetting) else f"--url {url}: {problem}"
        raise CliError(text, USAGE) from problem
    if wait_s:
        _await_page(settings.url, settings.run_id, wait_s)
    try:
        # A connection and no request: what the mesh counts is what the run sent.
        socket.create_connection((parts.hostname or "", port), CONNECT_S).close()
    except OSError as problem:
        reason = problem.strerror or problem
        raise CliError(f"Nothing answers at {settings.url} ({reason}). Is the mesh running?") from None
    return settings


def _await_page(url: str, run_id: str, wait_s: float) -> None:
    """Ask for the page until it is as it should be; by a User-Agent of its own, which no run counts."""
    import urllib.request

    from loadtests.load.bodies import page_problem

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{url}/productpage", headers={"User-Agent": f"lugsail-load-wait/{run_id}"})
    deadline = clock.monotonic() + wait_s
    while True:
        try:
            with opener.open(request, timeout=CONNECT_S) as answer:
                problem = page_problem(answer.read().decode("utf-8", "replace"))
        except OSError as trouble:
            problem = str(trouble)
        if problem is None:
            return
        if clock.monotonic() >= deadline:
            raise CliError(f"No good page at {url}/productpage within {wait_s:g} s: {problem}.")
        clock.sleep(POLL_S)


def gateway_url(project: str | None) -> str:
    """The running mesh's ingress gateway; raises CliError and LabError."""
    found = running_mesh(project).status()["gateway"]
    if not found:
        raise CliError(
            "The mesh has no ingress gateway that this machine reaches; name where Bookinfo answers: --url URL."
        )
    return str(found)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CliError(f"--out {folder}: {problem.strerror}.") from problem


def _write(result: dict[str, Any], folder: Path) -> list[Path]:
    from loadtests.load.picture import draw

    results = folder / "results.json"
    try:
        results.write_text(as_json(result) + "\n", encoding="utf-8")
        return [results, *draw(result, folder)]
    except OSError as problem:
        raise CliError(f"--out {folder}: {problem.strerror}.") from problem


def _open_page(settings: Any) -> int:
    """locust with its page, until Ctrl-C."""
    import subprocess

    from loadtests.load.launch import WEB_PORT, child_environment, web_argv

    print(f"Opening http://127.0.0.1:{WEB_PORT} for load on {settings.url}; Ctrl-C ends it.", flush=True)
    # In a session of its own: Ctrl-C comes here alone, and locust is told to end once.
    process = subprocess.Popen(
        web_argv(settings), env=child_environment(settings), stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        code = process.wait()
    return 0 if code in (0, 1) else FAILURE  # 1: some request failed


class _Progress:
    """A line that is written over on a terminal; else a line now and then. On stderr, for results go to stdout."""

    def __init__(self, duration_s: float, run_id: str, stream: Any) -> None:
        self._duration_s = duration_s
        self._stream = stream
        self._live = stream.isatty()
        print(paint(DIM, f"run {run_id}: User-Agent lugsail-load/{run_id}", stream), file=stream, flush=True)

    def __call__(self, second: dict[str, Any]) -> None:
        from loadtests.load.table import progress_text

        text = progress_text(second, self._duration_s)
        last = second["second"] + 1 >= self._duration_s
        if self._live:
            self._stream.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
        elif last or (second["second"] + 1) % PLAIN_EVERY_S == 0:
            self._stream.write(text + "\n")
        self._stream.flush()


def _summary(result: dict[str, Any], written: list[Path]) -> str:
    from loadtests.load.table import COLUMNS, failure_lines, split_text, status_line, summary_rows

    parts = [table(COLUMNS, summary_rows(result)), status_line(result)]
    failures = failure_lines(result)
    if failures:
        parts.append("failures:\n" + "\n".join(f"  {line}" for line in failures))
    if result["split"]["reviews"]["total"]:
        parts.append(split_text(result["split"]["reviews"]))
    if result["interrupted"]:
        parts.append(f"ended early, after {result['seconds']:.1f} s")
    if result["assertions"]:
        parts.append("\n".join(_verdict_line(one) for one in result["assertions"]))
    if written:
        parts.append("written: " + ", ".join(str(path) for path in written))
    return "\n\n".join(parts)


def _verdict_line(verdict: dict[str, Any]) -> str:
    mark = paint(GREEN, "held  ") if verdict["ok"] else paint(RED, "FAILED")
    return f"{mark}  {verdict['expression']}: {verdict['observed']}"
