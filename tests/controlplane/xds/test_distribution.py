"""The lines that `apply` prints, one proxy after the other."""

import asyncio

from controlplane.xds.distribution import GATHER_S, follow
from controlplane.xds.status import StatusBoard
from controlplane.xds.type_urls import RDS


class Fixture:
    def __init__(self) -> None:
        self.now = 100.0
        self.board = StatusBoard(lambda: self.now, lambda: 0.0)

    def connect(self, name: str):
        return self.board.connect(name, name, "sidecar", "", "sotw", "")

    def follow(self, revision: int, seconds: float = 5.0) -> asyncio.Task:
        async def collect():
            return [batch async for batch in follow(self.board, revision, seconds)]

        return asyncio.create_task(collect())


def finished(status, revision: int, nonce: str | None = None) -> None:
    status.begin(revision)
    if nonce:
        status.sent(RDS, nonce, "v", (), None)
    status.finish()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_lines_come_as_proxies_are_decided_and_count_from_the_write():
    f = Fixture()
    a, b = f.connect("a"), f.connect("b")
    f.board.written(7)
    following = f.follow(7)
    await turns()
    f.now = 100.002
    finished(a, 7)
    finished(b, 7, "n1")
    await turns()
    f.now = 100.005
    b.answered(RDS, ["n1"], None, "v", lambda _: True)
    first, second, last = await following
    assert first == [{"revision": 7, "proxies": ["a", "b"]}]
    assert second == [{"proxy": "a", "state": "UNAFFECTED", "types": [], "ms": 2.0, "error": None}]
    assert last[0] == {"proxy": "b", "state": "ACKED", "types": ["RDS"], "ms": 5.0, "error": None}
    assert last[1] == {
        "done": True,
        "ms": 5.0,
        "acked": 1,
        "nacked": 0,
        "unaffected": 1,
        "disconnected": 0,
        "pending": [],
    }


async def test_lines_of_a_burst_are_written_together():
    f = Fixture()
    a, b, c = f.connect("a"), f.connect("b"), f.connect("c")
    f.board.written(7)
    following = f.follow(7)
    await turns()
    for f.now, status in ((100.0005, a), (100.001, b)):
        finished(status, 7)
        await turns()
    f.now = 100.0 + 1.5 * GATHER_S
    f.board.notify()
    await turns()
    finished(c, 7)
    batches = await following
    assert [[line.get("proxy") for line in batch] for batch in batches] == [[None], ["a", "b"], ["c", None]]


async def test_what_was_decided_before_the_question_is_one_batch():
    f = Fixture()
    f.board.written(7)
    finished(f.connect("a"), 8)
    (batch,) = await f.follow(7)
    assert [line.get("state") for line in batch] == [None, "UNAFFECTED", None]


async def test_timeout_names_who_is_pending():
    f = Fixture()
    f.connect("slow")
    f.board.written(7)
    following = f.follow(7, 0.0)
    (_, last) = await following
    assert last[0]["state"] == "PENDING" and last[1]["pending"] == ["slow"]


async def test_who_leaves_is_disconnected_and_who_comes_later_is_not_asked():
    f = Fixture()
    f.connect("gone")
    f.board.written(7)
    following = f.follow(7)
    await turns()
    f.connect("new")
    f.board.disconnect("gone")
    lines = [line for batch in await following for line in batch]
    assert [(line["proxy"], line["state"]) for line in lines[1:-1]] == [("gone", "DISCONNECTED")]


async def test_a_snapshot_that_cannot_be_built_is_everybodys_rejection():
    f = Fixture()
    f.connect("a")
    f.board.written(7)
    f.board.build_failed(7, "ValueError: boom")
    (batch,) = await f.follow(7)
    assert batch[1]["state"] == "NACKED" and "boom" in batch[1]["error"]
