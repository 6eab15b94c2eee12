"""Requests told back as JSON."""

from bookinfo.httpbin.describe import body_of, headers_of, origin_of, values_of


def test_headers_are_canonical_sorted_and_joined():
    items = [("x-forwarded-for", "a"), ("HOST", "h"), ("X-Forwarded-For", "b")]
    assert list(headers_of(items).items()) == [("Host", "h"), ("X-Forwarded-For", "a,b")]


def test_values_are_lists_only_when_repeated():
    assert values_of([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": ["1", "3"], "b": "2"}


def test_origin():
    assert origin_of("1.2.3.4, 5.6.7.8", "127.0.0.1") == "1.2.3.4, 5.6.7.8"
    assert origin_of(None, "127.0.0.1") == "127.0.0.1"


def test_bodies():
    assert body_of(b"", None) == {"data": "", "form": {}, "json": None}
    assert body_of(b'{"a":1}', None)["json"] == {"a": 1}
    assert body_of(b"hello", None) == {"data": "hello", "form": {}, "json": None}
    assert body_of(b"\xff", None)["data"] == "data:application/octet-stream;base64,/w=="
    assert body_of(b"", {"a": "1"}) == {"data": "", "form": {"a": "1"}, "json": None}
