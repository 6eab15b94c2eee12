"""Finished resources and the memo that keeps them."""

from google.protobuf.wrappers_pb2 import StringValue

from controlplane.translate.built import Memo, built


def test_the_version_is_the_contents_hash() -> None:
    one, same, other = (built("n", StringValue(value=text)) for text in ("a", "a", "b"))
    assert one.version == same.version != other.version
    assert one.any.type_url == "type.googleapis.com/google.protobuf.StringValue"


def test_a_result_is_built_once() -> None:
    memo = Memo()
    calls: list[str] = []

    def build() -> str:
        calls.append("x")
        return "result"

    assert [memo.get("key", build) for _ in range(3)] == ["result"] * 3
    assert (len(calls), memo.hits, memo.misses) == (1, 2, 1)


def test_the_least_recently_used_goes_first() -> None:
    memo = Memo(limit=2)
    memo.get("a", lambda: 1)
    memo.get("b", lambda: 2)
    memo.get("a", lambda: 3)
    memo.get("c", lambda: 4)
    assert memo.get("a", lambda: 5) == 1
    assert memo.get("b", lambda: 6) == 6
