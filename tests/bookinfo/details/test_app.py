"""The details service."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bookinfo.details.app import make_app
from tests.bookinfo.fakes import FakeService

VOLUMES = {
    "items": [
        {
            "volumeInfo": {
                "authors": ["William Shakespeare"],
                "publishedDate": "1994-07-01",
                "printType": "BOOK",
                "pageCount": 64,
                "publisher": "Dover",
                "language": "en",
                "industryIdentifiers": [{"type": "ISBN_10", "identifier": "0486424618"}],
            }
        }
    ]
}


async def ask(path, env=None):
    async with TestClient(TestServer(make_app(env or {}))) as client, client.get(path) as answer:
        return answer.status, await answer.json()


async def test_details():
    assert await ask("/details/7") == (
        200,
        {
            "id": 7,
            "author": "William Shakespeare",
            "year": 1595,
            "type": "paperback",
            "pages": 200,
            "publisher": "PublisherA",
            "language": "English",
            "ISBN-10": "1234567890",
            "ISBN-13": "123-1234567890",
        },
    )


@pytest.mark.parametrize("text", ["x", "1.5", "-1", "²"])
async def test_an_id_that_is_no_number(text):
    status, body = await ask(f"/details/{text}")
    assert status == 400
    assert "whole number" in body["error"]


async def test_health():
    assert await ask("/health") == (200, {"status": "Details is healthy"})


def external(service):
    host, _, port = service.url.removeprefix("http://").partition(":")
    return {
        "ENABLE_EXTERNAL_BOOK_SERVICE": "true",
        "DO_NOT_ENCRYPT": "true",
        "EXTERNAL_BOOK_SERVICE_HOST": host,
        "EXTERNAL_BOOK_SERVICE_PORT": port,
    }


async def test_version_2_asks_the_book_service():
    async with FakeService(VOLUMES) as books:
        status, body = await ask("/details/0", external(books))
    assert books.requests[0][0] == "/books/v1/volumes"
    assert status == 200
    assert (body["author"], body["year"], body["pages"]) == ("William Shakespeare", 1994, 64)
    assert (body["ISBN-10"], body["ISBN-13"]) == ("0486424618", None)


async def test_version_2_says_when_the_book_service_fails():
    async with FakeService({}, status=503) as books:
        status, body = await ask("/details/0", external(books))
    assert status == 500
    assert "503" in body["error"]
