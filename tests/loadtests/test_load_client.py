"""The load client over real sockets."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from loadtests import load_client
from loadtests.backend import Answering
from loadtests.load_client import Run, load, request_bytes, summarise

SECONDS = 0.3


@asynccontextmanager
async def serving(protocol):
    server = await asyncio.get_running_loop().create_server(protocol, "127.32.91.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def test_counts_what_the_backend_answered():
    async with serving(Answering) as address:
        requests = [request_bytes("/", "h", headers) for headers in ([], ["end-user: jason"])]
        result = await load(address, requests, 4, SECONDS)
    assert result["requests"] > 10
    assert result["statuses"] == {"200": result["requests"]}
    assert result["errors"] == {}
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"]


async def test_variants_take_turns():
    seen = []

    class Recording(Answering):
        def data_received(self, data):
            seen.append(b"end-user" in data)
            super().data_received(data)

    async with serving(Recording) as address:
        requests = [request_bytes("/", "h", headers) for headers in ([], ["end-user: jason"])]
        await load(address, requests, 1, SECONDS)
    assert seen[:4] == [False, True, False, True]


async def test_an_error_answer_is_counted_by_its_status():
    class Failing(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")

    async with serving(Failing) as address:
        result = await load(address, [request_bytes("/", "h", [])], 1, SECONDS)
    assert list(result["statuses"]) == ["503"]


async def test_a_connection_that_ends_early_is_an_error_and_too_many_end_the_run(monkeypatch):
    monkeypatch.setattr(load_client, "ERRORS_LIMIT", 5)

    class Closing(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.close()

    async with serving(Closing) as address:
        result = await load(address, [request_bytes("/", "h", [])], 2, 30)
    assert sum(result["errors"].values()) >= 5
    assert result["requests"] == 0
    assert result["seconds"] < 20


def test_a_run_without_answers_has_no_latencies():
    assert "p50_ms" not in summarise(Run([b""]), 1.0)


def test_a_request():
    data = request_bytes("/reviews/0", "reviews:9080", ["end-user: jason"])
    assert data.startswith(b"GET /reviews/0 HTTP/1.1\r\nhost: reviews:9080\r\n")
    assert data.endswith(b"\r\nend-user: jason\r\n\r\n")


@pytest.mark.parametrize("argv", [["--seconds", "1000"], ["--connections", "100000"], ["--seconds", "0"]])
def test_the_load_is_bounded(argv, capsys):
    with pytest.raises(SystemExit):
        load_client.main(["--connect", "127.0.0.1:1", "--host", "h", *argv])
    assert "at most" in capsys.readouterr().err
