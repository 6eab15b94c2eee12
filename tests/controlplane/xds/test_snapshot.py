"""Rebuilding: what a change is worth, and what happens when it cannot be built."""

from controlplane.xds.observer import XdsObserver
from controlplane.xds.push_queue import Change
from controlplane.xds.snapshot import ALL_TYPES, SnapshotKeeper
from controlplane.xds.status import StatusBoard
from controlplane.xds.type_urls import LDS, RDS


class Fixture:
    def __init__(self) -> None:
        self.board = StatusBoard(lambda: 0.0, lambda: 0.0)
        self.built: list[tuple] = []
        self.broken = False
        affected = {"VirtualService": {RDS}, "Gateway": {LDS}}
        self.keeper = SnapshotKeeper(
            lambda: ["resource"],
            lambda: ["entry"],
            self._build,
            lambda kinds: set().union(*(affected[k] for k in kinds)),
            self.board,
            XdsObserver(),
            lambda: 5.0,
        )

    def _build(self, resources, registry, previous):
        if self.broken:
            raise ValueError("boom")
        self.built.append((resources, registry, previous))
        return f"snapshot {len(self.built)}"

    def rebuild(self, revision: int, *kinds: str):
        return self.keeper.rebuild(Change(revision, frozenset(kinds) or None, 1.0))


def test_a_push_carries_what_the_change_can_affect():
    f = Fixture()
    push = f.rebuild(1)
    assert (push.snapshot, push.revision, push.types, push.at) == ("snapshot 1", 1, ALL_TYPES, 1.0)
    assert f.rebuild(2, "VirtualService").types == {RDS}
    assert f.built == [(["resource"], ["entry"], None), (["resource"], ["entry"], "snapshot 1")]


def test_a_build_that_fails_keeps_the_last_one_and_is_told(caplog):
    f = Fixture()
    good = f.rebuild(1)
    f.broken = True
    assert f.rebuild(2, "VirtualService") is None
    assert f.keeper.current is good
    assert f.board.build_error == (2, "ValueError: boom")
    assert "revision 2" in caplog.text


def test_the_next_good_build_brings_what_the_failed_one_missed():
    f = Fixture()
    f.rebuild(1)
    f.broken = True
    f.rebuild(2, "VirtualService")
    f.broken = False
    assert f.rebuild(3, "Gateway").types == {RDS, LDS}
    assert f.board.build_error is None
    assert f.rebuild(4, "Gateway").types == {LDS}
