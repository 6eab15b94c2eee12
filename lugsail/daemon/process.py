"""One long-running process: its log on standard error, its life until somebody asks it to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop


def log_to_stderr(level: str) -> None:
    """`level`: debug, info, warning or error. What was set up before is replaced."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )


def run_until_stopped(
    serve: Callable[[asyncio.Event], Awaitable[None]], cannot_start: tuple[type[Exception], ...], log: logging.Logger
) -> int:
    """Run `serve(stop)`, with `stop` set by SIGTERM and SIGINT. The exit code: 0 when it ended, 1 when it could not
    start: one of `cannot_start`, whose text is logged."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(serve, cannot_start, log))


async def _run(
    serve: Callable[[asyncio.Event], Awaitable[None]], cannot_start: tuple[type[Exception], ...], log: logging.Logger
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await serve(stop)
    except cannot_start as error:
        log.error("cannot start: %s", error)
        return 1
    log.info("stopped")
    return 0
