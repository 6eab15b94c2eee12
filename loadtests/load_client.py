"""A bounded load client: keep-alive connections, each with one request in flight, until the time is up.

    python -m loadtests.load_client --connect 127.0.0.1:8080 --host reviews:9080 --seconds 5 --connections 16

Prints one JSON object: requests, seconds, requests_per_s, p50_ms, p99_ms, max_ms, statuses, errors. A closed loop: when
the proxy slows down, so does the load; compare CPU per request rather than the rate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from array import array
from collections import Counter
from itertools import cycle
from time import perf_counter
from typing import Any

import uvloop

from loadtests.response import ResponseReader, UnexpectedResponse
from loadtests.summary import percentile

SECONDS_LIMIT = 120.0
CONNECTIONS_LIMIT = 1024
ERRORS_LIMIT = 1000
CONNECT_TIMEOUT_S = 5.0
DRAIN_S = 2.0
USUAL_HEADERS = (
    "user-agent: lugsail-bench",
    "accept: */*",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
)


class Run:
    """What all the connections of a run share: the requests to send, the clock, and the counts."""

    def __init__(self, requests: list[bytes]) -> None:
        self.requests = requests
        self.stop = asyncio.Event()
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies_s = array("d")

    def fail(self, reason: str) -> None:
        """Count an error; too many of them end the run."""
        self.errors[reason] += 1
        if sum(self.errors.values()) >= ERRORS_LIMIT:
            self.stop.set()


class Connection(asyncio.Protocol):
    """Sends a request, waits for its response, sends the next. `closed` is set when it is gone."""

    def __init__(self, run: Run, first: int) -> None:
        self._run = run
        self._requests = cycle(run.requests[first:] + run.requests[:first])
        self._reader = ResponseReader()
        self._sent_at = 0.0
        self._waiting = False
        self._transport: Any = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count the response, go on."""
        run = self._run
        try:
            statuses = self._reader.feed(data)
        except UnexpectedResponse as error:
            run.fail(str(error))
            self._waiting = False
            self._transport.close()
            return
        if statuses:
            run.latencies_s.append(perf_counter() - self._sent_at)
            run.statuses[statuses[0]] += 1
            self._waiting = False
            if len(statuses) > 1:
                run.fail("more responses than requests")
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that ends with a request in flight is an error."""
        if self._waiting:
            self._run.fail(f"the connection ended before the response: {error or 'closed by the peer'}")
        self.closed.set()

    def _send(self) -> None:
        if self._run.stop.is_set():
            self._transport.close()
            return
        self._waiting = True
        self._sent_at = perf_counter()
        self._transport.write(next(self._requests))


async def keep_connected(run: Run, address: tuple[str, int], first: int) -> None:
    """One connection after the other until the run stops."""
    loop = asyncio.get_running_loop()
    while not run.stop.is_set():
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, connection = await loop.create_connection(lambda: Connection(run, first), *address)
        except (OSError, TimeoutError) as error:
            run.fail(f"cannot connect: {error or 'no answer'}")
            await asyncio.sleep(0.05)
            continue
        try:
            await connection.closed.wait()
        finally:
            transport.abort()


async def load(address: tuple[str, int], requests: list[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Run the load and summarise it."""
    run = Run(requests)
    start = perf_counter()
    tasks = [asyncio.create_task(keep_connected(run, address, i % len(requests))) for i in range(connections)]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run.stop.wait(), seconds)
    run.stop.set()
    took_s = perf_counter() - start
    _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return summarise(run, took_s)


def summarise(run: Run, took_s: float) -> dict[str, Any]:
    """The counts of a run as the JSON object that the module's docstring names."""
    count = len(run.latencies_s)
    result: dict[str, Any] = {
        "requests": count,
        "seconds": round(took_s, 3),
        "requests_per_s": round(count / took_s, 1),
        "statuses": {str(code): number for code, number in sorted(run.statuses.items())},
        "errors": dict(run.errors),
    }
    if count:
        ordered = sorted(run.latencies_s)
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
            result[name] = round(percentile(ordered, share) * 1000, 3)
    return result


def request_bytes(path: str, host: str, headers: list[str]) -> bytes:
    """A GET."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.load_client", description="A bounded HTTP/1.1 load.")
    parser.add_argument("--connect", required=True, metavar="IP:PORT")
    parser.add_argument("--host", required=True, help="the Host header")
    parser.add_argument("--path", default="/reviews/0")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="HEADER",
        help="send every other request with this header; may be repeated for further variants",
    )
    parser.add_argument("--header", action="append", help="of every request (default: a calling service's usual ones)")
    args = parser.parse_args(argv)
    if not 0 < args.seconds <= SECONDS_LIMIT or not 0 < args.connections <= CONNECTIONS_LIMIT:
        parser.error(f"at most {SECONDS_LIMIT:g} seconds and {CONNECTIONS_LIMIT} connections")
    ip, _, port = args.connect.rpartition(":")
    usual = args.header or list(USUAL_HEADERS)
    variants = ([], *([one] for one in args.variant))
    requests = [request_bytes(args.path, args.host, [*usual, *headers]) for headers in variants]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(load((ip, int(port)), requests, args.connections, args.seconds))
    print(json.dumps(result))
    return 0 if result["requests"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
