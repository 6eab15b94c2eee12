"""The reviews service and its three versions."""

import time

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bookinfo.reviews.app import Settings, app_with, make_app
from tests.bookinfo.fakes import FakeService

STARS = {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
ERROR = {"error": "Ratings service is currently unavailable"}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


async def ask(app, path="/reviews/0", headers=None):
    async with TestClient(TestServer(app)) as client, client.get(path, headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_version_1_has_no_ratings():
    body = await ask(make_app({}))
    assert (body["id"], body["podname"], body["clustername"]) == ("0", "null", "null")
    assert [set(review) for review in body["reviews"]] == [{"reviewer", "text"}] * 2


async def test_pod_and_cluster_names():
    body = await ask(make_app({"HOSTNAME": "reviews-v1", "CLUSTER_NAME": "east"}), "/reviews/12")
    assert (body["id"], body["podname"], body["clustername"]) == ("12", "reviews-v1", "east")


async def test_stars_with_the_versions_colour():
    async with FakeService(STARS) as ratings:
        body = await ask(app_with(Settings(ratings_url=ratings.url, star_color="red")))
    assert [review["rating"] for review in body["reviews"]] == [
        {"stars": 5, "color": "red"},
        {"stars": 4, "color": "red"},
    ]


@pytest.mark.parametrize(("status", "answer"), [(500, STARS), (200, "text"), (200, []), (200, {"ratings": None})])
async def test_ratings_that_fail(status, answer):
    async with FakeService(answer, status=status) as ratings:
        body = await ask(app_with(Settings(ratings_url=ratings.url)))
    assert [review["rating"] for review in body["reviews"]] == [ERROR, ERROR]


async def test_slow_ratings_are_given_up():
    async with FakeService(STARS, delay_s=5) as ratings:
        start = time.monotonic()
        body = await ask(app_with(Settings(ratings_url=ratings.url, ratings_timeout_s=0.1)))
    assert body["reviews"][0]["rating"] == ERROR
    assert time.monotonic() - start < 2


async def test_passes_headers_and_the_end_user_on():
    async with FakeService(STARS) as ratings:
        await ask(app_with(Settings(ratings_url=ratings.url)), headers={"end-user": "jason", "b3": "1", "x-other": "1"})
    headers = ratings.requests[0][1]
    assert (headers["end-user"], headers["b3"]) == ("jason", "1")
    assert "x-other" not in headers


@pytest.mark.parametrize(
    ("env", "timeout_s"), [({}, 10.0), ({"STAR_COLOR": "black"}, 10.0), ({"STAR_COLOR": "red"}, 2.5)]
)
def test_only_black_waits_long(env, timeout_s):
    assert Settings.from_env(env).ratings_timeout_s == timeout_s


def test_settings_from_the_environment():
    settings = Settings.from_env({"ENABLE_RATINGS": "true", "RATINGS_HOSTNAME": "r", "SERVICES_DOMAIN": "d"})
    assert (settings.ratings_url, settings.star_color) == ("http://r.d:9080", "black")
    assert Settings.from_env({"ENABLE_RATINGS": "false"}).ratings_url is None


async def test_health():
    assert await ask(make_app({}), "/health") == {"status": "Reviews is healthy"}
