"""The REST API as its clients see it."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver.errors import error_middleware
from controlplane.apiserver.resources import BODY_LIMIT_BYTES, REVISION_HEADER, ResourceApi, merge_patch
from controlplane.apiserver.watch import WatchLog
from tests.controlplane.apiserver.samples import gateway, open_store, virtual_service
from tests.controlplane.apiserver.test_storage import fill

BASE = "/apis/networking.istio.io/v1"
MANY = f"{BASE}/namespaces/default/virtualservices"
ONE = f"{MANY}/reviews"


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
async def client(store):
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[error_middleware])
    app.add_routes(ResourceApi(store, WatchLog(store)).routes())
    server = TestServer(app, host="127.31.8.3")
    async with TestClient(server) as made:
        yield made


async def failure(response, code: int) -> dict:
    assert response.status == code, await response.text()
    body = await response.json()
    assert body["kind"] == "Status" and body["status"] == "Failure" and body["code"] == code
    return body


async def test_create_get_list_update_delete(client):
    response = await client.post(MANY, json=virtual_service())
    assert response.status == 201 and response.headers[REVISION_HEADER] == "1"
    created = await response.json()
    assert created["metadata"]["resourceVersion"] == "1"

    assert await (await client.get(ONE)).json() == created
    listed = await (await client.get(MANY)).json()
    assert listed["kind"] == "VirtualServiceList" and listed["items"] == [created]
    assert listed["metadata"]["resourceVersion"] == "1"

    response = await client.put(ONE, json=virtual_service(subset="v2"))
    assert response.status == 200 and response.headers[REVISION_HEADER] == "2"
    assert (await response.json())["metadata"]["generation"] == 2

    response = await client.delete(ONE)
    assert response.status == 200 and response.headers[REVISION_HEADER] == "3"
    assert (await response.json())["status"] == "Success"
    await failure(await client.get(ONE), 404)
    await failure(await client.delete(ONE), 404)


async def test_put_creates_what_is_not_there(client):
    response = await client.put(ONE, json=virtual_service())
    assert response.status == 201 and response.headers[REVISION_HEADER] == "1"


async def test_an_equal_put_keeps_the_revision(client):
    await client.put(ONE, json=virtual_service())
    response = await client.put(ONE, json=virtual_service())
    assert response.status == 200 and response.headers[REVISION_HEADER] == "1"


async def test_conflicts(client):
    await client.put(ONE, json=virtual_service())
    assert (await failure(await client.post(MANY, json=virtual_service()), 409))["reason"] == "AlreadyExists"
    await client.put(ONE, json=virtual_service(subset="v2", resourceVersion="1"))
    body = await failure(await client.put(ONE, json=virtual_service(subset="v3", resourceVersion="1")), 409)
    assert body["reason"] == "Conflict" and "read it again" in body["message"]
    await failure(await client.put(f"{MANY}/new", json=virtual_service("new", resourceVersion="1")), 409)


async def test_invalid_input_is_answered_with_all_causes_and_changes_nothing(client, store):
    await client.put(ONE, json=virtual_service())
    bad = virtual_service(subset="v2")
    bad["spec"]["http"][0]["timeout"] = "soon"
    bad["spec"]["nonsense"] = 1
    for response in (await client.put(ONE, json=bad), await client.post(MANY, json={**bad, "metadata": {"name": "x"}})):
        body = await failure(response, 422)
        fields = {cause["field"] for cause in body["details"]["causes"]}
        assert {"spec.http[0].timeout", "spec.nonsense"} <= fields
        assert all(cause["message"] for cause in body["details"]["causes"])
    assert store.revision == 1 and len(store.list()) == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kind": "Gateway"}, "the path is of VirtualService"),
        ({"metadata": {"name": "other"}}, "the path says 'reviews'"),
        ({"metadata": {"name": "reviews", "namespace": "other"}}, "the path says 'default'"),
        ({"metadata": None}, "metadata is missing"),
    ],
)
async def test_a_body_that_contradicts_its_path(client, store, change, text):
    body = await failure(await client.put(ONE, json={**virtual_service(), **change}), 400)
    assert text in body["message"] and store.revision == 0


async def test_bodies_that_are_no_resource(client):
    json_type = {"Content-Type": "application/json"}
    await failure(await client.post(MANY, data=b"{", headers=json_type), 400)
    await failure(await client.post(MANY, data=b"[" * 100_000, headers=json_type), 400)
    await failure(await client.post(MANY, data=b"[]", headers=json_type), 400)
    await failure(await client.post(MANY, data=b"x" * (BODY_LIMIT_BYTES + 1), headers=json_type), 413)
    await failure(await client.post(MANY, data=json.dumps(virtual_service()).encode()), 415)
    await failure(await client.post(MANY, data="a: b", headers={"Content-Type": "text/plain"}), 415)


async def test_yaml_is_taken_too(client):
    text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\nspec: {host: reviews}\n"
    headers = {"Content-Type": "application/yaml"}
    path = f"{BASE}/namespaces/default/destinationrules"
    assert (await client.post(path, data=text, headers=headers)).status == 201
    assert (
        "one document"
        in (await failure(await client.post(path, data=text + "---\na: 1\n", headers=headers), 400))["message"]
    )


async def test_unknown_places(client):
    assert "virtualservices" in (await failure(await client.get(f"{BASE}/namespaces/default/pods"), 404))["message"]
    await failure(await client.get("/apis/networking.istio.io/v9/virtualservices"), 404)
    await failure(await client.get("/nowhere"), 404)
    assert "POST" in (await failure(await client.put(MANY, json={}), 405))["message"]


async def test_every_version_shows_the_same_resource(client):
    await client.put(ONE, json=virtual_service())
    old = await (await client.get(ONE.replace("/v1/", "/v1alpha3/"))).json()
    assert old["apiVersion"] == "networking.istio.io/v1alpha3" and old["spec"] == virtual_service()["spec"]


async def test_lists_over_namespaces_and_by_selector(client):
    for namespace in ("a", "b"):
        await client.post(f"{BASE}/namespaces/{namespace}/gateways", json=gateway("web", namespace))
    await client.put(ONE, json=virtual_service(labels={"team": "x"}))
    assert len((await (await client.get(f"{BASE}/gateways")).json())["items"]) == 2
    assert len((await (await client.get(f"{BASE}/namespaces/a/gateways")).json())["items"]) == 1
    for selector, count in (("team=x", 1), ("team!=x", 0), ("team", 1), ("!team", 0), ("team=x,other", 0)):
        items = (await (await client.get(MANY, params={"labelSelector": selector})).json())["items"]
        assert len(items) == count, selector
    named = await (await client.get(MANY, params={"fieldSelector": "metadata.name=none"})).json()
    assert named["items"] == []
    await failure(await client.get(MANY, params={"fieldSelector": "spec.hosts=x"}), 400)
    await failure(await client.get(MANY, params={"labelSelector": "team in (x)"}), 400)


async def test_dry_runs_validate_and_change_nothing(client, store):
    dry = {"dryRun": "All"}
    assert (await client.post(MANY, json=virtual_service(), params=dry)).status == 201
    assert (await client.put(ONE, json=virtual_service(), params=dry)).status == 201
    await client.put(ONE, json=virtual_service())
    assert (await client.delete(ONE, params=dry)).status == 200
    assert store.revision == 1 and len(store.list()) == 1


async def test_patch(client):
    await client.put(ONE, json=virtual_service(labels={"a": "1", "b": "2"}))
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = json.dumps({"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"hosts": ["reviews", "more"]}})
    patched = await (await client.patch(ONE, data=patch, headers=merge)).json()
    assert patched["metadata"]["labels"] == {"b": "2", "c": "3"} and patched["spec"]["hosts"] == ["reviews", "more"]
    await failure(await client.patch(ONE, json={}), 415)
    await failure(await client.patch(ONE, data='{"spec": {"hosts": 1}}', headers=merge), 422)


async def test_a_full_disk_is_507_and_a_broken_one_500(client, store):
    await client.put(ONE, json=virtual_service())
    fill(store)
    big = virtual_service("big", annotations={"note": "x" * 100_000})
    body = await failure(await client.post(MANY, json=big), 507)
    assert "full" in body["message"] and (await client.get(ONE)).status == 200
    store._db.execute("PRAGMA query_only = 1")
    await failure(await client.delete(ONE), 500)
    assert (await client.get(ONE)).status == 200


async def test_an_error_of_our_own_is_a_status_without_its_insides(client, store, monkeypatch, caplog):
    monkeypatch.setattr(store, "list", lambda *_: 1 / 0)
    body = await failure(await client.get(MANY), 500)
    assert "division" not in body["message"] and "division" in caplog.text


async def test_discovery(client):
    groups = await (await client.get("/apis")).json()
    assert groups["groups"][0]["preferredVersion"]["groupVersion"] == "networking.istio.io/v1"
    resources = (await (await client.get(BASE)).json())["resources"]
    assert {"virtualservices", "gateways", "sidecars"} <= {r["name"] for r in resources}
    await failure(await client.get("/apis/nothing.io/v1"), 404)


async def test_tables(client):
    await client.put(ONE, json=virtual_service())
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = await (await client.get(MANY, headers=accept)).json()
    assert table["kind"] == "Table" and table["rows"][0]["cells"][0] == "reviews"
    assert (await (await client.get(ONE, headers=accept)).json())["kind"] == "Table"


def test_merge_patch_examples_of_the_rfc():
    assert merge_patch({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert merge_patch({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merge_patch({"a": [1]}, {"a": [2]}) == {"a": [2]}
    assert merge_patch([1], {"a": {"b": None}}) == {"a": {}}
