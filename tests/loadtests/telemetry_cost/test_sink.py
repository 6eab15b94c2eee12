"""When a report of spans has come to its end."""

import pytest

from loadtests.telemetry_cost.sink import complete


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n[]", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n[]", False),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n", False),
        (b"POST / HTTP/1.1\r\ncontent-le", False),
    ],
)
def test_complete(data, whole):
    assert complete(data) is whole
