"""Asking until they are ready."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.sources import readiness
from controlplane.sources.docker_pods import Target
from controlplane.sources.readiness import Prober, probe
from tests.controlplane.sources.contract import until
from tests.controlplane.sources.engine import Readiness

A, B = Target("10.0.0.1", (80,)), Target("10.0.0.2", (80,))


class Bench:
    def __init__(self) -> None:
        self.answers = Readiness()
        self.changes = 0
        self.prober = Prober(self._changed, self.answers, interval_s=0.002)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
async def bench():
    made = Bench()
    yield made
    await made.prober.stop()


async def test_each_is_asked_until_it_is_ready_and_then_no_more(bench):
    bench.answers.refused.add(B.address)
    bench.prober.watch({A, B})
    await until(lambda: bench.answers.asked.count(B) > 3, "asked again and again")
    assert bench.prober.ready == {A} and bench.answers.asked.count(A) == 1 and bench.changes == 1
    bench.answers.refused.clear()
    await until(lambda: bench.prober.ready == {A, B}, "ready")
    assert bench.changes == 2


async def test_who_goes_is_not_asked_any_more_and_not_remembered(bench):
    bench.answers.refused.add(B.address)
    bench.prober.watch({A, B})
    await until(lambda: B in bench.answers.asked and bench.prober.ready == {A}, "asked")
    bench.prober.watch(())
    asked = len(bench.answers.asked)
    bench.prober.watch({A})
    await until(lambda: bench.prober.ready == {A}, "asked anew")
    assert bench.answers.asked[asked:] == [A]


async def test_who_rests_is_remembered(bench):
    bench.prober.watch({A})
    await until(lambda: bench.prober.ready == {A}, "ready")
    bench.prober.watch((), keep={A})
    assert bench.prober.ready == frozenset()
    bench.prober.watch({A}, keep={A})
    assert bench.prober.ready == {A} and bench.answers.asked == [A]


async def test_settled_when_all_are_ready_or_have_refused_repeatedly(bench):
    bench.answers.refused.add(B.address)
    bench.prober.watch({A, B})
    await bench.prober.settled(3.0)
    assert bench.prober.ready == {A} and bench.answers.asked.count(B) >= 3


async def test_settling_has_an_end():
    async def silent(_: Target) -> bool:
        await asyncio.Event().wait()
        return True

    prober = Prober(lambda: None, silent)
    prober.watch({A})
    await asyncio.wait_for(prober.settled(0.02), 2.0)
    await prober.stop()


async def test_not_too_many_are_asked_at_once(monkeypatch):
    active, most = 0, 0
    go = asyncio.Event()

    async def slow(_: Target) -> bool:
        nonlocal active, most
        active, most = active + 1, max(most, active + 1)
        await go.wait()
        active -= 1
        return True

    prober = Prober(lambda: None, slow)
    targets = {Target(f"10.0.{n}.1", (80,)) for n in range(200)}
    prober.watch(targets)
    await until(lambda: active == readiness.CONCURRENCY, "as many as may be")
    go.set()
    await until(lambda: prober.ready == targets, "all have their turn")
    assert most == readiness.CONCURRENCY
    await prober.stop()


# The probe itself, on real sockets.


async def serve(answer: bytes | None) -> tuple[asyncio.Server, int, list[bytes]]:
    heard: list[bytes] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is not None:
            heard.append(await reader.readline())
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize(
    ("answer", "is_ready"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"220 ftp ready 200\r\n", False),
        (b"", False),
        (b"x" * 100_000, False),
    ],
)
async def test_an_agent_says_200(answer, is_ready):
    server, port, heard = await serve(answer)
    async with server:
        assert await probe(Target("127.0.0.1", (9080, 9081), port)) is is_ready
        assert heard == [b"GET /healthz/ready?ports=9080,9081 HTTP/1.1\r\n"]


async def test_every_port_accepts():
    server, port, _ = await serve(None)
    async with server:
        assert await probe(Target("127.0.0.1", (port,)))
        assert not await probe(Target("127.0.0.1", (port, 1)))


async def test_silence_is_no(monkeypatch):
    monkeypatch.setattr(readiness, "TIMEOUT_S", 0.05)
    block = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await block.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    async with server:
        assert not await probe(Target("127.0.0.1", (), server.sockets[0].getsockname()[1]))
        block.set()
