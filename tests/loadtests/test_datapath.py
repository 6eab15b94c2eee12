"""Running the load in a process of its own, and refusing rounds that measured something else."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from loadtests import datapath
from loadtests.backend import Answering
from loadtests.datapath import BadRun, Settings, one_round, run_load, summary_of


@pytest.fixture
def backend():
    """The backend in a thread; its address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Answering, "127.32.92.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ip, port = server.sockets[0].getsockname()
    yield f"{ip}:{port}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.close()


def test_run_load(backend):
    result = run_load(backend, 2, 0.3, None)
    assert result["requests"] > 0
    assert result["statuses"] == {"200": result["requests"]}


def test_a_load_without_a_single_answer():
    with pytest.raises(BadRun, match=r"127\.32\.92\.9"):
        run_load("127.32.92.9:9", 1, 0.2, None)


def test_a_summary_has_medians_and_the_least_cpu():
    assert summary_of([{"cpu_us": 3}, {"cpu_us": 1}, {"cpu_us": 2}]) == {"cpu_us": 2, "cpu_us_least": 1}


def round_with(monkeypatch, tmp_path, result, log_growth):
    log = tmp_path / "proxy.log"
    log.write_bytes(b"")

    def load(*_):
        log.write_bytes(b"x" * log_growth)
        return {
            "requests": 1000,
            "seconds": 2.0,
            "requests_per_s": 500,
            "p50_ms": 1,
            "p99_ms": 2,
            "errors": {},
            **result,
        }

    cpu = iter((1.0, 1.02))
    monkeypatch.setattr(datapath, "run_load", load)
    monkeypatch.setattr(datapath, "cpu_s", lambda _: next(cpu))
    foreign = iter((5.0, 5.0))
    monkeypatch.setattr(datapath, "foreign_cpu_s", lambda _: next(foreign))
    monkeypatch.setattr(datapath, "memory", lambda _: SimpleNamespace(rss_bytes=50 * 2**20))
    mesh = SimpleNamespace(pid=lambda _: 1, access_log=lambda _: log, address=lambda _: "127.0.0.1:1")
    return one_round(mesh, "python", Settings(), None, None)


def test_a_round(monkeypatch, tmp_path):
    measured = round_with(monkeypatch, tmp_path, {"statuses": {"200": 1000}}, 300_000)
    assert measured == {
        "cpu_us": 20.0,
        "requests_per_s": 500,
        "p50_ms": 1,
        "p99_ms": 2,
        "rss_mb": 50.0,
        "cpu_share": 0.01,
        "access_log_bytes": 300.0,
        "foreign_cpus": 0.0,
    }


def test_answers_other_than_200_spoil_a_round(monkeypatch, tmp_path):
    with pytest.raises(BadRun, match="503"):
        round_with(monkeypatch, tmp_path, {"statuses": {"200": 999, "503": 1}}, 300_000)


def test_errors_spoil_a_round(monkeypatch, tmp_path):
    with pytest.raises(BadRun, match="reset"):
        round_with(monkeypatch, tmp_path, {"statuses": {"200": 1000}, "errors": {"reset": 1}}, 300_000)


def test_a_round_without_an_access_log_is_none(monkeypatch, tmp_path):
    with pytest.raises(BadRun, match="access log"):
        round_with(monkeypatch, tmp_path, {"statuses": {"200": 1000}}, 0)
