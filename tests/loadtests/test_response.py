"""Counting responses in a stream."""

import pytest

from loadtests.response import HEAD_LIMIT_BYTES, ResponseReader, UnexpectedResponse

TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 503 Busy\r\nx: y\r\ncontent-length:0\r\n\r\n"


def test_whole():
    assert ResponseReader().feed(TWO) == [200, 503]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_in_pieces(size):
    reader = ResponseReader()
    found = [status for start in range(0, len(TWO), size) for status in reader.feed(TWO[start : start + size])]
    assert found == [200, 503]


def test_a_response_counts_when_its_body_is_whole():
    reader = ResponseReader()
    assert reader.feed(TWO[:42]) == []
    assert reader.feed(TWO[42:]) == [200, 503]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"hello\r\ncontent-length: 0\r\n\r\n",
        b"x" * (HEAD_LIMIT_BYTES + 1),
    ],
)
def test_anything_else_is_an_error(data):
    with pytest.raises(UnexpectedResponse):
        ResponseReader().feed(data)
