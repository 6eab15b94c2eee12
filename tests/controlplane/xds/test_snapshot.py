"""Rebuilding: what a change is worth, and what happens when it cannot be built."""

from controlplane.xds.observer import XdsObserver
from controlplane.xds.push_queue import Change
from controlplane.xds.snapshot import ALL_TYPES, SnapshotKeeper
from controlplane.xds.status import StatusBoard
from controlplane.xds.type_urls import RDS


class Fixture:
    def __init__(self) -> None:
        self.board = StatusBoard(lambda: 0.0, lambda: 0.0)
        self.built: list[tuple] = []
        self.broken = False
        self.affected = frozenset({RDS})
        self.compared: list[tuple] = []
        self.keeper = SnapshotKeeper(
            lambda: ["resource"],
            lambda: ["entry"],
            self._build,
            self._affected,
            self.board,
            XdsObserver(),
            lambda: 5.0,
        )

    def _build(self, resources, registry, previous):
        if self.broken:
            raise ValueError("boom")
        self.built.append((resources, registry, previous))
        return f"snapshot {len(self.built)}"

    def _affected(self, before, after):
        self.compared.append((before, after))
        return ALL_TYPES if before is None else self.affected

    def rebuild(self, revision: int, force: bool = False):
        return self.keeper.rebuild(Change(revision, 1.0), force)


def test_a_push_carries_what_the_change_can_affect():
    f = Fixture()
    push = f.rebuild(1)
    assert (push.snapshot, push.revision, push.types, push.at) == ("snapshot 1", 1, ALL_TYPES, 1.0)
    assert f.rebuild(2).types == {RDS}
    assert f.built == [(["resource"], ["entry"], None), (["resource"], ["entry"], "snapshot 1")]


def test_a_build_that_fails_keeps_the_last_one_and_is_told(caplog):
    f = Fixture()
    good = f.rebuild(1)
    f.broken = True
    assert f.rebuild(2) is None
    assert f.keeper.current is good
    assert f.board.build_error == (2, "ValueError: boom")
    assert "revision 2" in caplog.text


def test_after_a_failed_build_the_next_is_compared_with_what_was_served():
    f = Fixture()
    f.rebuild(1)
    f.broken = True
    f.rebuild(2)
    f.broken = False
    assert f.rebuild(3).types == {RDS}
    assert f.compared == [(None, "snapshot 1"), ("snapshot 1", "snapshot 2")]
    assert f.board.build_error is None


def test_a_forced_push_is_of_everything():
    f = Fixture()
    f.rebuild(1)
    push = f.rebuild(1, force=True)
    assert (push.types, push.force) == (ALL_TYPES, True)
