"""Calls to other services: every outcome is an answer, and the proxy of the environment is used."""

import pytest

from bookinfo.common import client as client_module
from bookinfo.common.client import Client
from tests.bookinfo.fakes import FakeService


@pytest.fixture
async def client(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Client()
    yield made
    await made.close()


async def test_json_answer(client):
    async with FakeService({"a": 1}) as service:
        answer = await client.get_json(f"{service.url}/x", {"x-request-id": "7"}, 5)
    assert answer.ok
    assert answer.body == {"a": 1}
    assert service.requests[0][0] == "/x"
    assert service.requests[0][1]["x-request-id"] == "7"


async def test_a_careless_client_forgets_the_headers_of_tracing_alone():
    careless = Client(traced=False)
    sent = {"X-Request-Id": "7", "traceparent": "00-1", "x-b3-traceid": "1", "end-user": "jason", "user-agent": "curl"}
    async with FakeService({"a": 1}) as service:
        await careless.get_json(service.url, sent, 5)
    await careless.close()
    got = {name.lower(): value for name, value in service.requests[0][1].items()}
    assert {name: got.get(name.lower()) for name in sent} == {
        **dict.fromkeys(sent),
        "end-user": "jason",
        "user-agent": "curl",
    }


async def test_each_call_has_its_own_connection(client):
    async with FakeService({}) as service:
        await client.get_json(service.url, {}, 5)
    assert service.requests[0][1]["connection"] == "close"


async def test_an_error_status_keeps_its_number(client):
    async with FakeService({"error": "x"}, status=503) as service:
        answer = await client.get_json(service.url, {}, 5)
    assert (answer.status, answer.ok) == (503, False)


async def test_a_body_that_is_no_json_is_not_ok(client):
    async with FakeService("hello") as service:
        answer = await client.get_json(service.url, {}, 5)
    assert (answer.status, answer.body, answer.ok) == (200, None, False)


async def test_a_slow_service_is_given_up(client):
    async with FakeService({}, delay_s=5) as service:
        answer = await client.get_json(service.url, {}, 0.05)
    assert answer.status is None
    assert "0.05 s" in answer.problem


async def test_nobody_listening(client):
    async with FakeService({}) as service:
        url = service.url
    answer = await client.get_json(url, {}, 5)
    assert answer.status is None
    assert answer.problem


async def test_a_too_long_answer_is_refused(client, monkeypatch):
    monkeypatch.setattr(client_module, "ANSWER_LIMIT_BYTES", 10)
    async with FakeService({"text": "x" * 100}) as service:
        answer = await client.get_json(service.url, {}, 5)
    assert answer.status is None
    assert "10 bytes" in answer.problem


async def test_the_proxy_of_the_environment_gets_the_call(monkeypatch):
    async with FakeService({"via": "proxy"}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        client = Client()
        try:
            answer = await client.get_json("http://reviews:9080/reviews/0", {}, 5)
            assert client.proxy_for("http://127.0.0.1:80/") is None
        finally:
            await client.close()
    assert answer.body == {"via": "proxy"}
    assert proxy.requests[0][0] == "/reviews/0"
    assert proxy.requests[0][1]["host"] == "reviews:9080"
