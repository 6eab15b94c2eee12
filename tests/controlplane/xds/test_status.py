"""When a push counts as acknowledged, rejected or without effect."""

from controlplane.xds.status import KEPT_PUSHES, ProxyStatus, State, StatusBoard
from controlplane.xds.type_urls import CDS, DEPENDENTS, EDS, LDS, RDS


class Time:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


def board() -> StatusBoard:
    return StatusBoard(Time(), lambda: 1_000.0)


def status() -> ProxyStatus:
    return board().connect("c1", "a.default", "sidecar", "1.1.1.1", "sotw", "peer")


def send(s: ProxyStatus, type_url: str, nonce: str, awaits=(), dependent=None) -> None:
    s.sent(type_url, nonce, f"v{nonce}", awaits, dependent)


def answer(s: ProxyStatus, type_url: str, *nonces: str, error=None, known=()) -> None:
    s.answered(type_url, nonces, error, f"v{nonces[-1]}", lambda name: name in known)


def about_to_ask_for(type_url: str, name: str) -> ProxyStatus:
    """A client that has taken a resource of the type in revision 1, and not asked for what that refers to."""
    s = status()
    s.begin(1)
    send(s, type_url, "1", awaits=[name], dependent=DEPENDENTS[type_url])
    s.finish()
    answer(s, type_url, "1")
    return s


def test_a_push_that_sends_nothing_is_unaffected():
    s = status()
    s.begin(3)
    assert s.outcome(3) is None
    s.finish()
    assert s.outcome(3).state is State.UNAFFECTED
    assert s.outcome(2).state is State.UNAFFECTED and s.outcome(4) is None


def test_all_types_must_be_acknowledged():
    s = status()
    s.begin(1)
    send(s, LDS, "1")
    send(s, RDS, "2")
    s.finish()
    answer(s, LDS, "1")
    assert s.outcome(1) is None
    answer(s, RDS, "2")
    assert s.outcome(1).state is State.ACKED and s.outcome(1).types == ("LDS", "RDS")
    assert s.outcome(1).at == 10.0


def test_an_answer_before_the_push_has_finished_does_not_decide():
    s = status()
    s.begin(1)
    send(s, CDS, "1")
    answer(s, CDS, "1")
    assert s.outcome(1) is None
    s.finish()
    assert s.outcome(1).state is State.ACKED


def test_one_rejection_decides_at_once():
    s = status()
    s.begin(1)
    send(s, CDS, "1")
    send(s, RDS, "2")
    s.finish()
    answer(s, RDS, "2", error="no")
    assert s.outcome(1).state is State.NACKED and s.outcome(1).error == "RDS: no"
    assert s.summaries()[RDS] == "NACKED" and s.summaries()[CDS] == "STALE"
    assert s.errors() == {"RDS": "no"}


def test_an_ack_clears_the_error_and_an_older_push_does_not_become_good():
    s = status()
    s.begin(1)
    send(s, RDS, "1")
    s.finish()
    answer(s, RDS, "1", error="no")
    s.begin(2)
    send(s, RDS, "2")
    s.finish()
    answer(s, RDS, "2")
    assert s.summaries()[RDS] == "SYNCED" and s.errors() == {}
    assert s.outcome(1).state is State.NACKED and s.outcome(2).state is State.ACKED
    assert s.types[RDS].rejects == 1


def test_names_that_the_client_is_about_to_ask_for_are_awaited():
    s = about_to_ask_for(CDS, "new")
    assert s.outcome(1) is None
    send(s, EDS, "2")
    answer(s, EDS, "2", known=["new"])
    assert s.outcome(1).state is State.ACKED and s.outcome(1).types == ("CDS", "EDS")


def test_a_later_push_that_is_acknowledged_settles_an_earlier_one():
    s = about_to_ask_for(LDS, "route-of-a-listener-that-goes")
    s.begin(2)
    send(s, LDS, "2")
    s.await_only(RDS, ())
    s.finish()
    answer(s, LDS, "2")
    assert [s.outcome(revision).state for revision in (1, 2)] == [State.ACKED, State.ACKED]


def test_what_the_client_is_about_to_ask_for_keeps_later_pushes_waiting_too():
    s = about_to_ask_for(LDS, "80")
    s.begin(2)
    s.finish()
    assert s.outcome(1) is None and s.outcome(2) is None
    send(s, RDS, "2")
    answer(s, RDS, "2", known={"80"})
    assert [s.outcome(revision).types for revision in (1, 2)] == [("LDS",), ("RDS",)]


def test_a_later_push_without_effect_settles_nothing():
    s = status()
    s.begin(1)
    send(s, RDS, "1")
    s.finish()
    s.begin(2)
    s.finish()
    assert s.outcome(1) is None and s.outcome(2).state is State.UNAFFECTED


def test_a_push_that_holds_something_back_is_not_over():
    s = status()
    s.begin(1)
    send(s, RDS, "1")
    s.hold()
    answer(s, RDS, "1")
    assert s.outcome(1) is None
    send(s, CDS, "2")
    s.finish()
    answer(s, CDS, "2")
    assert s.outcome(1).types == ("RDS", "CDS")


def test_a_new_stream_needs_clusters_and_listeners():
    s = status()
    s.connected(5)
    send(s, CDS, "1")
    s.finish()
    answer(s, CDS, "1")
    assert s.outcome(5) is None
    send(s, LDS, "2")
    answer(s, LDS, "2")
    assert s.outcome(5).state is State.ACKED


def test_a_translation_that_failed_is_a_rejection_by_ourselves():
    s = status()
    s.begin(1)
    s.failed(RDS, "cannot")
    s.finish()
    assert s.outcome(1).state is State.NACKED and s.outcome(1).error == "RDS: cannot"
    assert s.summaries()[RDS] == "NOT SENT" and s.errors() == {"RDS": "cannot"}


def test_summaries_of_what_was_never_sent():
    assert set(status().summaries().values()) == {"NOT SENT"}


def test_records_are_bounded_and_old_revisions_still_have_an_outcome():
    s = status()
    for revision in range(1, KEPT_PUSHES * 2):
        s.begin(revision)
        s.finish()
    assert len(s.records) == KEPT_PUSHES and s.outcome(1).state is State.UNAFFECTED


def test_the_board_knows_revisions_and_the_newest_connection_of_a_proxy():
    b = board()
    b.written(4)
    assert b.latest_revision == 4 and b.written_at(4) == 10.0 and b.written_at(3) is None
    b.connect("old", "a.default", "sidecar", "", "sotw", "")
    new = b.connect("new", "a.default", "sidecar", "", "sotw", "")
    assert b.current() == {"a.default": new}
    b.disconnect("new")
    assert b.current()["a.default"].connection_id == "old"


async def test_watchers_wake_after_every_change():
    b = board()
    with b.watch() as changed:
        assert not changed.is_set()
        b.connect("c", "a.default", "sidecar", "", "sotw", "")
        assert changed.is_set()
        changed.clear()
    b.notify()
    assert not changed.is_set()


def test_watchers_wake_when_something_is_decided_and_not_before():
    b = board()
    s = b.connect("c1", "a.default", "sidecar", "1.1.1.1", "sotw", "peer")
    with b.watch() as changed:
        s.begin(1)
        send(s, LDS, "1")
        send(s, RDS, "2")
        s.finish()
        answer(s, LDS, "1")
        assert not changed.is_set()
        answer(s, RDS, "2")
        assert changed.is_set()


def test_of_pushes_with_one_revision_the_first_counts():
    s = status()
    s.begin(1)
    send(s, RDS, "1")
    s.begin(1)
    s.finish()
    assert s.outcome(1) is None
    answer(s, RDS, "1")
    assert s.outcome(1).state is State.ACKED
