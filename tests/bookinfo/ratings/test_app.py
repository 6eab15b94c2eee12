"""The ratings service."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bookinfo.ratings.app import Ratings, make_app
from bookinfo.ratings.database import DatabaseError
from bookinfo.ratings.misbehaviour import Misbehaviour


class Database:
    """Stars, or an error."""

    def __init__(self, stars=(), error=None):
        self._stars, self._error = list(stars), error

    def stars(self):
        if self._error:
            raise self._error
        return self._stars


def client_of(version="", database=None, clock=lambda: 0.0, chance=lambda: 0.0):
    return TestClient(TestServer(Ratings(Misbehaviour(version), database, clock, chance).app()))


async def ask(client, method="GET", path="/ratings/0", data=None):
    async with client.request(method, path, data=data) as answer:
        return answer.status, await answer.json()


async def test_default_ratings():
    async with TestClient(TestServer(make_app({}))) as client:
        assert await ask(client) == (200, {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}})


async def test_posted_ratings_replace_those_of_their_product():
    async with client_of() as client:
        assert await ask(client, "POST", data='{"Reviewer1": 1}') == (200, {"id": 0, "ratings": {"Reviewer1": 1}})
        assert await ask(client) == (200, {"id": 0, "ratings": {"Reviewer1": 1}})
        assert (await ask(client, path="/ratings/1"))[1]["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


@pytest.mark.parametrize("data", ["", "{", "\xff".encode("latin-1")])
async def test_a_body_that_is_no_json(data):
    async with client_of() as client:
        status, body = await ask(client, "POST", data=data)
    assert status == 400
    assert "JSON" in body["error"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_id_that_is_no_number(method):
    async with client_of() as client:
        assert (await ask(client, method, "/ratings/x", "{}"))[0] == 400


async def test_a_faulty_version_answers_503():
    async with client_of("v-faulty") as client:
        status, body = await ask(client)
    assert status == 503
    assert "error" in body


async def test_the_clock_makes_unhealthy():
    now = [5000.0]
    async with client_of("v-unhealthy", clock=lambda: now[0]) as client:
        assert await ask(client, path="/health") == (200, {"status": "Ratings is healthy"})
        now[0] += 901
        assert (await ask(client, path="/health"))[0] == 500
        assert (await ask(client))[0] == 503


async def test_stars_from_a_database():
    async with client_of(database=Database([3, 2])) as client:
        assert await ask(client) == (200, {"id": 0, "ratings": {"Reviewer1": 3, "Reviewer2": 2}})
        assert (await ask(client, "POST", data="{}"))[0] == 501


async def test_a_database_error_has_its_own_status():
    async with client_of(database=Database(error=DatabaseError("no connection", 200))) as client:
        assert await ask(client) == (200, {"error": "no connection"})
