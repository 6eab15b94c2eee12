"""Watches: live, resumed, expired, bounded."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver import watch
from controlplane.apiserver.errors import ApiError, error_middleware
from controlplane.apiserver.resources import ResourceApi
from controlplane.apiserver.watch import Expired, WatchLog
from lugsail.api.base import ResourceKey
from tests.controlplane.apiserver.samples import create, gateway, open_store, update, virtual_service
from tests.controlplane.sources.contract import until

MANY = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
REVIEWS = ResourceKey("VirtualService", "default", "reviews")


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def watches(store):
    return WatchLog(store, kept_events=8, watcher_limit=2)


@pytest.fixture
async def client(store, watches):
    app = web.Application(middlewares=[error_middleware])
    app.add_routes(ResourceApi(store, watches).routes())
    async with TestClient(TestServer(app, host="127.31.8.3", handler_cancellation=True)) as made:
        yield made


async def lines(response, count: int) -> list[dict]:
    async with asyncio.timeout(5):
        return [json.loads(await response.content.readline()) for _ in range(count)]


def seen(events: list[dict]) -> list[tuple[str, str]]:
    return [(e["type"], e["object"]["metadata"].get("resourceVersion", "")) for e in events]


async def test_without_a_version_what_is_there_comes_first(client, store):
    create(store, virtual_service())
    async with client.get(MANY, params={"watch": "1"}) as response:
        assert seen(await lines(response, 1)) == [("ADDED", "1")]
        update(store, virtual_service(subset="v2"))
        create(store, gateway())
        store.delete(REVIEWS)
        assert seen(await lines(response, 2)) == [("MODIFIED", "2"), ("DELETED", "4")]


async def test_resuming_sends_what_was_missed_and_no_more(client, store):
    create(store, virtual_service())
    update(store, virtual_service(subset="v2"))
    update(store, virtual_service(subset="v3"))
    async with client.get(MANY, params={"watch": "true", "resourceVersion": "2"}) as response:
        assert seen(await lines(response, 1)) == [("MODIFIED", "3")]


async def test_a_version_that_is_too_old_is_expired(client, store):
    for n in range(10):
        create(store, virtual_service(f"s{n}"))
    async with client.get(MANY, params={"watch": "1", "resourceVersion": "1"}) as response:
        (line,) = await lines(response, 1)
        assert line["type"] == "ERROR" and line["object"]["code"] == 410
        assert await response.content.readline() == b""


async def test_a_version_of_the_future_is_expired(client):
    async with client.get(MANY, params={"watch": "1", "resourceVersion": "99"}) as response:
        assert (await lines(response, 1))[0]["object"]["reason"] == "Expired"


async def test_selection_sees_resources_come_and_go(client, store):
    create(store, virtual_service())
    query = {"watch": "1", "resourceVersion": "1", "labelSelector": "team=x"}
    async with client.get(MANY, params=query) as response:
        update(store, virtual_service(labels={"team": "x"}))
        update(store, virtual_service(subset="v2", labels={"team": "x"}))
        update(store, virtual_service(labels={"team": "y"}))
        assert [e["type"] for e in await lines(response, 3)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_bookmarks_and_the_end_of_a_watch(client, store, monkeypatch):
    monkeypatch.setattr(watch, "BOOKMARK_INTERVAL_S", 0.01)
    create(store, virtual_service())
    query = {"watch": "1", "resourceVersion": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "0.1"}
    async with client.get(MANY, params=query) as response:
        async with asyncio.timeout(5):
            events = [json.loads(line) async for line in response.content]
    assert events and seen(events)[0] == ("BOOKMARK", "1")


async def test_watches_are_bounded_and_end_with_their_client(client, watches):
    first = await client.get(MANY, params={"watch": "1"})
    await client.get(MANY, params={"watch": "1"})
    refused = await client.get(MANY, params={"watch": "1"})
    assert refused.status == 429
    first.close()
    await until(lambda: len(watches) == 1, "the watch ends")
    assert (await client.get(MANY, params={"watch": "1"})).status == 200


async def test_wrong_parameters(client):
    for query in ({"resourceVersion": "x"}, {"timeoutSeconds": "x"}):
        assert (await client.get(MANY, params={"watch": "1", **query})).status == 400


async def test_a_reader_that_is_too_slow_is_ended(store, monkeypatch):
    monkeypatch.setattr(watch, "BUFFER_LIMIT", 3)
    log = WatchLog(store)
    with log.follow() as queue:
        for n in range(4):
            create(store, virtual_service(f"s{n}"))
        assert queue.get_nowait() is None and queue.empty()
        assert len(log) == 0


async def test_the_log_knows_what_it_has(store):
    create(store, virtual_service())
    log = WatchLog(store, kept_events=2)
    with pytest.raises(Expired):
        log.since(0)
    assert log.since(1) == []
    for n in range(3):
        create(store, virtual_service(f"s{n}"))
    assert [e.revision for e in log.since(2)] == [3, 4]
    with pytest.raises(Expired):
        log.since(1)


async def test_registry_revisions_do_not_expire_a_watch(store):
    log = WatchLog(store)
    store.bump()
    assert log.since(0) == [] and log.since(1) == []


async def test_too_many_watchers(store):
    log = WatchLog(store, watcher_limit=1)
    with log.follow(), pytest.raises(ApiError) as error, log.follow():
        pass
    assert error.value.code == 429
