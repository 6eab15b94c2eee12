"""How one revision spreads: a line per proxy as its fate is decided. `apply` shows it where it was typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from controlplane.xds.status import Outcome, ProxyStatus, State, StatusBoard

# Between two batches, but for the last: ACKs come in a burst, and a write for each costs more than they are worth.
GATHER_S = 0.002


async def follow(board: StatusBoard, revision: int, timeout_s: float) -> AsyncIterator[list[dict[str, Any]]]:
    """First the proxies that are asked, then one line each as it is decided, last the summary; in batches, as it goes.

    Shapes: `{"revision", "proxies"}`, `{"proxy", "state", "types", "ms", "error"}`,
    `{"done", "ms", "acked", "nacked", "unaffected", "disconnected", "pending"}`. `ms` counts from the write.
    """
    origin = board.written_at(revision)
    if origin is None:
        origin = board.clock()
    deadline = board.clock() + timeout_s
    waiting = dict(board.current())
    batch: list[dict[str, Any]] = [{"revision": revision, "proxies": sorted(waiting)}]
    counts = dict.fromkeys(State, 0)
    last = origin
    write_at = board.clock()
    with board.watch() as changed:
        while waiting:
            changed.clear()
            names = board.names_streams()
            for proxy_id in list(waiting):
                outcome = _outcome(board, waiting[proxy_id], revision, names.get(proxy_id))
                if outcome is None:
                    continue
                del waiting[proxy_id]
                counts[outcome.state] += 1
                at = outcome.at if outcome.at is not None else board.clock()
                last = max(last, at)
                batch.append(_line(proxy_id, outcome, max(0.0, at - origin)))
            if not waiting:
                break
            now = board.clock()
            if batch and now >= write_at:
                yield batch
                batch = []
                write_at = now + GATHER_S
            if now >= deadline:
                break
            await _wait(changed, (min(write_at, deadline) if batch else deadline) - now)
    for proxy_id in sorted(waiting):
        last = board.clock()
        batch.append(_line(proxy_id, Outcome(State.PENDING), last - origin))
    batch.append(
        {
            "done": True,
            "ms": _ms(last - origin),
            "acked": counts[State.ACKED],
            "nacked": counts[State.NACKED],
            "unaffected": counts[State.UNAFFECTED],
            "disconnected": counts[State.DISCONNECTED],
            "pending": sorted(waiting),
        }
    )
    yield batch


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _outcome(
    board: StatusBoard, status: ProxyStatus, revision: int, names: ProxyStatus | None = None
) -> Outcome | None:
    """What became of it at the proxy and, where its agent has a stream of its own for names, there too."""
    if status.connection_id not in board.connections:
        return Outcome(State.DISCONNECTED, at=board.clock())
    found = status.outcome(revision)
    if found is None and board.build_error is not None and board.build_error[0] >= revision:
        return Outcome(State.NACKED, at=board.clock(), error=f"the control plane: {board.build_error[1]}")
    if found is None or names is None:
        return found
    beside = names.outcome(revision)
    return _both(found, beside) if beside is not None else None


def _both(proxy: Outcome, names: Outcome) -> Outcome:
    """Rejected when one was, else acknowledged when one was; as late as the later."""
    worst = next(s for s in (State.NACKED, State.ACKED, State.UNAFFECTED) if s in (proxy.state, names.state))
    at = max((o.at for o in (proxy, names) if o.at is not None), default=None)
    return Outcome(worst, (*proxy.types, *names.types), at, proxy.error or names.error)


def _line(proxy_id: str, outcome: Outcome, seconds: float) -> dict[str, Any]:
    return {
        "proxy": proxy_id,
        "state": str(outcome.state),
        "types": list(outcome.types),
        "ms": _ms(seconds),
        "error": outcome.error,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
