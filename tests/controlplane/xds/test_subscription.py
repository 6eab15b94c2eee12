"""Dialogues with one subscription: each rule of the protocol, both variants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds.subscription import ABSENT, Plan, Subscription, set_version


class Dialogue:
    """A subscription with a nonce counter, told in requests and desired state."""

    def __init__(self, *, full_state: bool, delta: bool) -> None:
        self.sub = Subscription(full_state=full_state, delta=delta)
        self.counter = 0

    def flush(self, hold_removals: bool = False, **desired: str) -> Plan | None:
        """The response that goes out now, if any. Only what is requested exists for the client."""
        asked = self.sub.requested
        visible = {n: v for n, v in desired.items() if asked is None or n in asked}
        plan = self.sub.plan(visible, hold_removals)
        if not plan.due:
            return None
        self.counter += 1
        self.sub.record_sent(str(self.counter), plan)
        return plan

    @property
    def nonce(self) -> str:
        return str(self.counter)

    def ask(self, *names: str, nonce: str = "", error: str | None = None):
        return self.sub.receive_sotw(names, nonce, error)

    def ack(self, *names: str):
        return self.ask(*names, nonce=self.nonce)

    def delta(self, subscribe=(), unsubscribe=(), initial=None, nonce="", error=None):
        return self.sub.receive_delta(subscribe, unsubscribe, initial or {}, nonce, error)


def cds(delta: bool = False) -> Dialogue:
    return Dialogue(full_state=True, delta=delta)


def eds(delta: bool = False) -> Dialogue:
    return Dialogue(full_state=False, delta=delta)


def names(plan: Plan | None) -> set[str]:
    assert plan is not None
    return set(plan.names)


class TestStateOfTheWorld:
    def test_first_request_without_names_is_a_wildcard_for_clusters(self):
        d = cds()
        d.ask()
        assert d.sub.wildcard
        assert names(d.flush(a="1", b="1")) == {"a", "b"}

    def test_a_star_is_a_wildcard(self):
        d = cds()
        d.ask("*")
        assert d.sub.requested is None

    def test_first_request_is_answered_even_when_there_is_nothing(self):
        d = cds()
        d.ask()
        plan = d.flush()
        assert plan is not None and plan.names == ()

    def test_ack_gets_no_answer_and_records_the_version(self):
        d = cds()
        d.ask()
        plan = d.flush(a="1")
        reaction = d.ack()
        assert [s.version for s in reaction.answered] == [plan.version]
        assert d.sub.acked_version == plan.version and not d.sub.outstanding
        assert d.flush(a="1") is None

    def test_an_unchanged_set_is_not_pushed_and_a_changed_one_is_sent_whole(self):
        d = cds()
        d.ask()
        d.flush(a="1", b="1")
        d.ack()
        assert d.flush(b="1", a="1") is None
        assert names(d.flush(a="2", b="1")) == {"a", "b"}
        d.ack()
        assert names(d.flush(b="1")) == {"b"}

    def test_nack_keeps_the_acked_version_and_is_not_answered_with_the_same(self):
        d = cds()
        d.ask()
        good = d.flush(a="1")
        d.ack()
        bad = d.flush(a="bad")
        reaction = d.ask(nonce=d.nonce, error="no such field")
        assert reaction.error == "no such field" and reaction.answered[0].version == bad.version
        assert d.sub.acked_version == good.version
        assert d.sub.rejected == (bad.version, "no such field")
        assert d.flush(a="bad") is None

    def test_going_back_after_a_nack_is_a_push_and_clears_it(self):
        d = cds()
        d.ask()
        d.flush(a="1")
        d.ack()
        d.flush(a="bad")
        d.ask(nonce=d.nonce, error="no")
        assert names(d.flush(a="1")) == {"a"}
        d.ack()
        assert d.sub.rejected is None

    def test_a_stale_nonce_gets_no_answer_and_does_not_change_names(self):
        d = eds()
        d.ask("a")
        d.flush(a="1")
        d.ack("a")
        d.flush(a="2")
        d.flush(a="3")
        reaction = d.ask("a", "b", nonce="2")
        assert reaction.stale and d.sub.names == {"a"}
        assert [s.nonce for s in reaction.answered] == ["2"]
        assert d.flush(a="3", b="1") is None

    def test_an_unknown_nonce_on_a_running_stream_is_stale(self):
        d = eds()
        d.ask("a")
        d.flush(a="1")
        assert d.ask("a", nonce="elsewhere").stale
        assert set(d.sub.outstanding) == {"1"}

    def test_a_nonce_of_another_stream_in_the_first_request_is_answered(self):
        d = cds()
        d.ask(nonce="old-stream-7")
        assert names(d.flush(a="1")) == {"a"}

    def test_an_empty_nonce_later_starts_again(self):
        d = cds()
        d.ask()
        d.flush(a="1")
        d.ask()
        assert names(d.flush(a="1")) == {"a"}

    def test_added_names_get_an_answer_with_those_alone(self):
        d = eds()
        d.ask("a")
        d.flush(a="1", b="1")
        d.ack("a", "b")
        assert names(d.flush(a="1", b="1")) == {"b"}

    def test_the_same_names_with_the_current_nonce_are_only_an_ack(self):
        d = eds()
        d.ask("a", "b")
        d.flush(a="1", b="1")
        d.ack("b", "a")
        d.ack("a", "b")
        assert d.flush(a="1", b="1") is None

    def test_names_that_only_shrink_get_no_answer(self):
        d = eds()
        d.ask("a", "b")
        d.flush(a="1", b="1")
        d.ack("a")
        assert d.flush(a="1", b="2") is None
        assert names(d.flush(a="2", b="2")) == {"a"}

    def test_a_name_dropped_and_wanted_again_is_sent_again(self):
        d = eds()
        d.ask("a", "b")
        d.flush(a="1", b="1")
        d.ack("a")
        d.ack("a", "b")
        assert names(d.flush(a="1", b="1")) == {"b"}

    def test_an_empty_list_unsubscribes_from_endpoints(self):
        d = eds()
        d.ask("a")
        d.flush(a="1")
        d.ack()
        assert not d.sub.active
        assert d.flush(a="2") is None

    def test_a_first_request_for_endpoints_without_names_wants_nothing(self):
        d = eds()
        d.ask()
        assert not d.sub.wildcard
        assert d.flush(a="1") is None

    def test_a_star_means_nothing_to_endpoints(self):
        d = eds()
        d.ask("*")
        assert d.sub.requested == frozenset()

    def test_a_name_that_does_not_exist_is_answered_without_it_and_sent_once_it_does(self):
        d = eds()
        d.ask("a")
        plan = d.flush()
        assert plan is not None and plan.names == ()
        d.ack("a")
        assert d.flush() is None
        assert names(d.flush(a="1")) == {"a"}

    def test_after_clusters_were_sent_anew_an_ack_of_endpoints_is_answered_once(self):
        d = eds()
        d.ask("a", "b")
        d.flush(a="1", b="1")
        d.sub.respond_always_once()
        d.ack("a", "b")
        assert names(d.flush(a="1", b="1")) == {"a", "b"}
        d.ack("a", "b")
        assert d.flush(a="1", b="1") is None

    def test_forced_names_are_sent_though_unchanged(self):
        d = eds()
        d.ask("a", "b")
        d.flush(a="1", b="1")
        d.ack("a", "b")
        d.sub.force(["b", "not-subscribed"])
        assert d.sub.owes
        assert names(d.flush(a="1", b="1")) == {"b"}
        assert d.flush(a="1", b="1") is None

    def test_naming_clusters_ends_the_legacy_wildcard(self):
        d = cds()
        d.ask()
        d.flush(a="1", b="1")
        d.ack("a")
        assert d.sub.requested == {"a"}

    def test_held_removals_stay_in_the_set_until_they_are_let_go(self):
        d = cds()
        d.ask()
        d.flush(a="1", b="1")
        d.ack()
        held = d.flush(a="1", c="1", hold_removals=True)
        assert names(held) == {"a", "b", "c"} and held.held == {"b"}
        d.ack()
        assert names(d.flush(a="1", c="1")) == {"a", "c"}

    def test_holding_alone_sends_nothing(self):
        d = cds()
        d.ask()
        d.flush(a="1", b="1")
        d.ack()
        plan = d.sub.plan({"a": "1"}, hold_removals=True)
        assert not plan.due and plan.held == {"b"}

    def test_one_answer_settles_the_responses_before_it(self):
        d = cds()
        d.ask()
        for version in "123":
            d.flush(a=version)
        reaction = d.ack()
        assert [s.nonce for s in reaction.answered] == ["1", "2", "3"] and not d.sub.outstanding

    def test_a_nack_that_also_adds_a_name_gets_the_name(self):
        d = eds()
        d.ask("a")
        d.flush(a="bad")
        d.ask("a", "b", nonce=d.nonce, error="no")
        assert names(d.flush(a="bad", b="1")) == {"b"}


class TestDelta:
    def test_first_request_without_names_is_a_wildcard_and_answered_even_when_empty(self):
        d = cds(delta=True)
        d.delta()
        assert d.sub.wildcard
        plan = d.flush()
        assert plan is not None and plan.names == () and plan.removed == ()

    def test_only_what_changed_is_sent(self):
        d = cds(delta=True)
        d.delta(["*"])
        d.flush(a="1", b="1")
        d.delta(nonce=d.nonce)
        plan = d.flush(a="2", b="1", c="1")
        assert names(plan) == {"a", "c"} and plan.removed == ()

    def test_what_went_is_removed(self):
        d = cds(delta=True)
        d.delta()
        d.flush(a="1", b="1")
        d.delta(nonce=d.nonce)
        plan = d.flush(a="1")
        assert plan.names == () and plan.removed == ("b",)
        assert d.flush(a="1") is None

    def test_initial_versions_spare_what_is_unchanged_and_remove_what_is_gone(self):
        d = cds(delta=True)
        d.delta(initial={"a": "1", "b": "1", "gone": "1"})
        plan = d.flush(a="1", b="2", new="1")
        assert names(plan) == {"b", "new"} and plan.removed == ("gone",)

    def test_initial_versions_of_everything_get_an_empty_answer(self):
        d = cds(delta=True)
        d.delta(initial={"a": "1"})
        plan = d.flush(a="1")
        assert plan is not None and plan.names == () and plan.removed == ()

    def test_initial_versions_of_names_not_asked_for_do_not_count(self):
        d = eds(delta=True)
        d.delta(["a"], initial={"a": "1", "b": "1"})
        plan = d.flush(a="1", b="1")
        assert plan.names == () and plan.removed == ()

    def test_subscribing_again_sends_again(self):
        d = eds(delta=True)
        d.delta(["a"])
        d.flush(a="1")
        d.delta(["a"], nonce=d.nonce)
        assert names(d.flush(a="1")) == {"a"}

    def test_a_request_may_subscribe_without_a_nonce(self):
        d = eds(delta=True)
        d.delta(["a"])
        d.flush(a="1")
        reaction = d.delta(["b"])
        assert reaction.answered == () and not reaction.stale
        assert names(d.flush(a="1", b="1")) == {"b"}
        assert set(d.sub.outstanding) == {"1", "2"}

    def test_unsubscribed_names_are_not_sent_any_more(self):
        d = eds(delta=True)
        d.delta(["a", "b"])
        d.flush(a="1", b="1")
        d.delta(unsubscribe=["b"], nonce=d.nonce)
        assert d.flush(a="1", b="2") is None

    def test_unsubscribing_from_everything_ends_it(self):
        d = eds(delta=True)
        d.delta(["a"])
        d.flush(a="1")
        d.delta(unsubscribe=["a"])
        assert not d.sub.active and d.flush(a="2") is None

    def test_a_name_that_does_not_exist_is_said_to_be_removed_once(self):
        d = eds(delta=True)
        d.delta(["a", "b"])
        plan = d.flush(a="1")
        assert plan.removed == ("b",) and d.sub.told("b") == ABSENT
        assert d.flush(a="1") is None
        assert names(d.flush(a="1", b="1")) == {"b"}

    def test_asking_again_for_a_missing_name_is_answered_again(self):
        d = eds(delta=True)
        d.delta(["b"])
        d.flush()
        d.delta(["b"], nonce=d.nonce)
        assert d.flush().removed == ("b",)

    def test_nack_is_recorded_and_not_answered(self):
        d = cds(delta=True)
        d.delta()
        d.flush(a="bad")
        reaction = d.delta(nonce=d.nonce, error="no")
        assert reaction.error == "no" and d.sub.rejected[1] == "no"
        assert d.flush(a="bad") is None

    def test_unsubscribing_from_the_star_leaves_the_named_ones(self):
        d = cds(delta=True)
        d.delta(["*", "a"])
        d.flush(a="1", b="1")
        d.delta(unsubscribe=["*"], nonce=d.nonce)
        assert d.sub.requested == {"a"}
        assert d.flush(a="1", b="2") is None

    def test_unsubscribing_a_name_below_the_star_says_once_more_whether_it_exists(self):
        d = cds(delta=True)
        d.delta(["*", "a"])
        d.flush(a="1")
        d.delta(unsubscribe=["a"], nonce=d.nonce)
        assert names(d.flush(a="1")) == {"a"}

    def test_held_removals_are_not_told_yet(self):
        d = cds(delta=True)
        d.delta(initial={"old": "1"})
        plan = d.flush(new="1", hold_removals=True)
        assert names(plan) == {"new"} and plan.removed == () and plan.held == {"old"}
        assert d.flush(new="1").removed == ("old",)

    def test_forced_names_reach_a_reconnected_client_that_has_them(self):
        d = eds(delta=True)
        d.sub.force(["a"])
        d.delta(["a", "b"], initial={"a": "1", "b": "1"})
        assert names(d.flush(a="1", b="1")) == {"a"}


@pytest.mark.parametrize("delta", [False, True])
def test_nothing_is_planned_before_the_first_request(delta):
    assert not Subscription(full_state=True, delta=delta).plan({"a": "1"}).due


def test_force_all_sends_everything_again():
    for d in (cds(), cds(delta=True)):
        d.delta() if d.sub.delta else d.ask()
        d.flush(a="1")
        d.sub.force_all()
        assert names(d.flush(a="1")) == {"a"}


def test_set_version_depends_on_content_alone():
    assert set_version({"a": "1", "b": "2"}) == set_version({"b": "2", "a": "1"})
    assert set_version({"a": "1"}) != set_version({"a": "2"})
    assert set_version({"a": "1", "b": ABSENT}) == set_version({"a": "1"})


desired_states = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), max_size=4), min_size=1, max_size=8
)


@given(desired_states, st.booleans(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_a_client_that_applies_every_response_has_the_desired_state(states, delta, holds):
    """Whatever changes, and whenever removals are held: after an unheld flush the client has exactly what exists."""
    d = cds(delta)
    d.delta() if delta else d.ask()
    client: dict[str, str] = {}
    history: dict[str, str] = {}
    for desired, hold in [*zip(states, holds, strict=False), (states[-1], False)]:
        plan = d.flush(hold_removals=hold, **desired)
        history = {**{n: client[n] for n in client}, **desired}
        if plan is None:
            continue
        content = {n: desired.get(n, history.get(n)) for n in plan.names}
        client = {**client, **content} if delta else content
        for name in plan.removed:
            client.pop(name, None)
        assert desired.items() <= client.items()
    assert client == states[-1]
