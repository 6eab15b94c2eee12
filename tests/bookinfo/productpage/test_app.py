"""The product page over real sockets, with stand-ins for the services behind it."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bookinfo.details.app import own_details
from bookinfo.productpage.app import ProductPage
from bookinfo.productpage.settings import Settings
from bookinfo.reviews import app as reviews_app
from tests.bookinfo.fakes import FakeService

V1 = reviews_app.answer(0, reviews_app.Settings(pod_name="reviews-v1"), None)
V3 = reviews_app.answer(
    0,
    reviews_app.Settings(pod_name="reviews-v3", ratings_url="x", star_color="red"),
    {"Reviewer1": 5, "Reviewer2": 4},
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Shop:
    """The page under test and the services behind it."""

    def __init__(self, browser: TestClient, details: FakeService, reviews: FakeService, ratings: FakeService) -> None:
        self.browser = browser
        self.details = details
        self.reviews = reviews
        self.ratings = ratings

    async def text(self, path: str = "/productpage") -> str:
        async with self.browser.get(path) as answer:
            assert answer.status == 200
            return await answer.text()


@asynccontextmanager
async def open_shop(settings: Settings | None = None):
    async with AsyncExitStack() as stack:
        details = await stack.enter_async_context(FakeService(own_details(0)))
        reviews = await stack.enter_async_context(FakeService(V1))
        ratings = await stack.enter_async_context(FakeService({"id": 0, "ratings": {"Reviewer1": 5}}))
        told = replace(
            settings or Settings(), details_url=details.url, reviews_url=reviews.url, ratings_url=ratings.url
        )
        browser = await stack.enter_async_context(TestClient(TestServer(ProductPage(told).app())))
        yield Shop(browser, details, reviews, ratings)


async def test_the_page_shows_the_book_its_details_and_reviews():
    async with open_shop() as shop:
        text = await shop.text()
    for part in (
        "The Comedy of Errors",
        "William Shakespeare",
        "paperback",
        "123-1234567890",
        "Reviewer1",
        "reviews-v1",
    ):
        assert part in text
    assert "★" not in text
    assert "Error fetching" not in text


async def test_stars_have_their_colour():
    async with open_shop() as shop:
        shop.reviews.body = V3
        text = await shop.text()
    assert text.count('data-color="red"') == 2
    assert "★★★★★" in text
    assert "black" not in text


async def test_missing_ratings_are_said_under_each_review():
    async with open_shop() as shop:
        shop.reviews.body = reviews_app.answer(0, reviews_app.Settings(ratings_url="x"), None)
        text = await shop.text()
    assert text.count("Ratings service is currently unavailable") == 2


async def test_reviews_are_tried_twice_and_details_once():
    async with open_shop() as shop:
        shop.reviews.status = shop.details.status = 500
        text = await shop.text()
    assert "Error fetching product reviews" in text
    assert "Error fetching product details" in text
    assert (len(shop.reviews.requests), len(shop.details.requests)) == (2, 1)


async def test_an_answer_that_is_no_json_is_an_error_of_the_page_alone():
    async with open_shop() as shop:
        shop.reviews.body = "no json"
        assert "Error fetching product reviews" in await shop.text()
        assert (await shop.browser.get("/api/v1/products/0/reviews")).status == 500


async def test_slow_reviews_take_twice_the_timeout():
    async with open_shop(Settings(timeout_s=0.2)) as shop:
        shop.reviews.delay_s = 5
        start = time.monotonic()
        text = await shop.text()
        took_s = time.monotonic() - start
    assert "Error fetching product reviews" in text
    assert 0.4 <= took_s < 1.5


async def test_with_the_real_timeout_the_api_gives_up_after_six_seconds():
    async with open_shop() as shop:
        shop.reviews.delay_s = 7
        start = time.monotonic()
        async with shop.browser.get("/api/v1/products/0/reviews") as answer:
            took_s = time.monotonic() - start
            assert answer.status == 500
    assert 6.0 <= took_s < 6.9


async def test_the_api_answers_what_the_services_do():
    async with open_shop() as shop:
        for path, wanted in (("", own_details(0)), ("/reviews", V1), ("/ratings", shop.ratings.body)):
            async with shop.browser.get(f"/api/v1/products/0{path}") as answer:
                assert (answer.status, await answer.json()) == (200, wanted)
        async with shop.browser.get("/api/v1/products") as answer:
            assert [book["id"] for book in await answer.json()] == [0]


async def test_the_api_passes_an_error_status_on():
    async with open_shop() as shop:
        shop.ratings.status = 418
        async with shop.browser.get("/api/v1/products/0/ratings") as answer:
            assert answer.status == 418
            assert "error" in await answer.json()


async def test_an_unknown_product():
    async with open_shop() as shop:
        assert (await shop.browser.get("/api/v1/products/1")).status == 404
    assert shop.details.requests == []


async def test_signing_in_and_out():
    async with open_shop() as shop:
        form = {"username": "jason", "passwd": "whatever"}
        headers = {"Referer": "http://shop.example/productpage?u=1"}
        async with shop.browser.post("/login", data=form, headers=headers, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, headers["Referer"])
        assert "Signed in as <strong>jason</strong>" in await shop.text()
        for service in (shop.details, shop.reviews):
            assert service.requests[-1][1]["end-user"] == "jason"
        async with shop.browser.get("/logout", headers=headers, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, headers["Referer"])
        assert "Signed in as" not in await shop.text()
        assert "end-user" not in shop.reviews.requests[-1][1]


async def test_a_name_cannot_break_out_of_the_page_or_the_header():
    async with open_shop() as shop:
        form = {"username": "<b>\r\nx-admin: 1"}
        await shop.browser.post("/login", data=form, allow_redirects=False)
        assert "&lt;b&gt;" in await shop.text()
    assert "x-admin" not in shop.reviews.requests[-1][1]


async def test_headers_are_passed_on_but_not_a_claimed_end_user():
    sent = {
        "x-request-id": "r1",
        "traceparent": "00-1-2-01",
        "User-Agent": "tester",
        "end-user": "jason",
        "x-secret": "1",
    }
    async with open_shop() as shop:
        await shop.browser.get("/productpage", headers=sent)
    for service in (shop.details, shop.reviews):
        headers = service.requests[0][1]
        assert (headers["x-request-id"], headers["traceparent"], headers["user-agent"]) == ("r1", "00-1-2-01", "tester")
        assert "end-user" not in headers
        assert "x-secret" not in headers


async def test_the_flood_factor_adds_calls():
    async with open_shop(Settings(flood_factor=5)) as shop:
        await shop.text()
    assert len(shop.reviews.requests) == 6


async def test_health_index_metrics_and_static_files():
    async with open_shop() as shop:
        assert await shop.text("/health") == "Product page is healthy"
        for path in ("/", "/index.html"):
            assert "/productpage" in await shop.text(path)
        await shop.text()
        assert 'destination_app="details",response_code="200"} 1' in await shop.text("/metrics")
        for name in ("style.css", "sail.svg", "book.svg"):
            assert await shop.text(f"/static/{name}")
