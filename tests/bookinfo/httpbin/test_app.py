"""httpbin over a real socket."""

import time

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bookinfo.httpbin import app as httpbin


@pytest.fixture
async def client():
    async with TestClient(TestServer(httpbin.make_app({}))) as made:
        yield made


async def test_get_tells_the_request_back(client):
    headers = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Host": "httpbin.example.com"}
    async with client.get("/get?a=1&a=2", headers=headers) as answer:
        body = await answer.json()
    assert body["args"] == {"a": ["1", "2"]}
    assert body["origin"] == "10.0.0.1"
    assert body["url"] == "https://httpbin.example.com/get?a=1&a=2"
    assert body["headers"]["X-Forwarded-For"] == "10.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_methods_with_a_body(client, method):
    async with client.request(method, f"/{method.lower()}", json={"a": 1}) as answer:
        body = await answer.json()
    assert (body["method"], body["json"]) == (method, {"a": 1})


async def test_anything_with_a_form(client):
    async with client.post("/anything/deep/er", data={"a": "1"}) as answer:
        body = await answer.json()
    assert (body["form"], body["data"]) == ({"a": "1"}, "")


@pytest.mark.parametrize(("path", "status"), [("/status/503", 503), ("/status/418", 418), ("/status/abc", 400)])
async def test_status(client, path, status):
    for method in ("GET", "POST", "DELETE"):
        assert (await client.request(method, path)).status == status


async def test_delay_waits_and_is_bounded(client, monkeypatch):
    monkeypatch.setattr(httpbin, "DELAY_LIMIT_S", 0.1)
    start = time.monotonic()
    assert (await client.get("/delay/100")).status == 200
    assert 0.1 <= time.monotonic() - start < 2
    assert (await client.get("/delay/-1")).status == 400
    assert (await client.get("/delay/nan")).status == 400


async def test_response_headers(client):
    async with client.get("/response-headers?x-a=1&Content-Length=9999") as answer:
        assert answer.headers["x-a"] == "1"
        assert (await answer.json())["x-a"] == "1"
    assert (await client.get("/response-headers?x-a=1%0d%0ab: 2")).status == 400


async def test_redirects_end_at_get(client):
    async with client.get("/redirect/3") as answer:
        assert (answer.status, answer.url.path, len(answer.history)) == (200, "/get", 3)
    assert (await client.get("/redirect/0")).status == 400


async def test_cookies(client):
    async with client.get("/cookies/set?a=1") as answer:
        assert await answer.json() == {"cookies": {"a": "1"}}
    async with client.get("/cookies/set/b/2") as answer:
        assert await answer.json() == {"cookies": {"a": "1", "b": "2"}}
    async with client.get("/cookies/delete?a=") as answer:
        assert await answer.json() == {"cookies": {"b": "2"}}


async def test_bytes_and_their_bound(client, monkeypatch):
    monkeypatch.setattr(httpbin, "BYTES_LIMIT", 1000)
    assert len(await (await client.get("/bytes/7")).read()) == 7
    assert len(await (await client.get("/bytes/5000")).read()) == 1000


async def test_stream_is_chunked_lines(client):
    async with client.get("/stream/3") as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert len((await answer.text()).splitlines()) == 3


@pytest.mark.parametrize("path", ["/", "/headers", "/ip", "/user-agent", "/uuid", "/json", "/html", "/healthz"])
async def test_the_plain_ones(client, path):
    assert (await client.get(path)).status == 200
