"""Where the book API is, and what is made of its answer."""

import pytest

from bookinfo.details.external import BookService, details_of


def test_https_unless_told_not_to_encrypt():
    assert BookService.from_env({}).base_url == "https://www.googleapis.com"
    assert BookService.from_env({"DO_NOT_ENCRYPT": "true"}).base_url == "http://www.googleapis.com"


def test_another_place():
    env = {"EXTERNAL_BOOK_SERVICE_HOST": "books.example", "EXTERNAL_BOOK_SERVICE_PORT": "8443"}
    assert BookService.from_env(env).base_url == "https://books.example:8443"


@pytest.mark.parametrize("answer", [None, [], {}, {"items": []}, {"items": [{"volumeInfo": {"authors": []}}]}])
def test_an_answer_without_a_book(answer):
    assert details_of(answer, 0) is None
