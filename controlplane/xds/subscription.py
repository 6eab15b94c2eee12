"""One xDS subscription (one type on one stream), for both protocol variants.

Pure: requests and desired versions go in, what to send comes out. Requests only leave *debts* (an answer is owed, a
name must be sent even though nothing changed); `plan` compares the debts and what the client was told with what
there is now, and `record_sent` settles them. So requests and pushes merge by themselves, whatever their order.

Source of the rules: "xDS REST and gRPC protocol" of the Envoy API, v3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

WILDCARD = "*"

# What a client is recorded to have been told about a name that does not exist. Versions are hashes, never empty.
ABSENT = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A response on its way: answered by the request that carries its nonce."""

    nonce: str
    version: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a request meant. `answered` are the responses it acknowledges (or rejects, when `error` is set)."""

    answered: tuple[Sent, ...] = ()
    error: str | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The response that is due, if `due`.

    `names` are sent with content, `removed` as removals (delta only), `held` are resources that are gone but stay
    with the client for now; a full-state response repeats them (they are in `names` too).
    `version` names the state that the client has after it.
    """

    due: bool
    names: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    held: frozenset[str] = frozenset()
    version: str = ""
    state: Mapping[str, str] = field(default_factory=dict)


def set_version(versions: Mapping[str, str]) -> str:
    """The version of a set of resources: a hash of its names and their versions. Absent ones do not count."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(versions):
        if versions[name] != ABSENT:
            digest.update(f"{name}\0{versions[name]}\0".encode())
    return digest.hexdigest()


class Subscription:
    """`full_state`: a type with wildcards, whose state-of-the-world responses hold the whole set (LDS, CDS)."""

    __slots__ = (
        "_always_respond",
        "_legacy_wildcard",
        "_owed",
        "_owes_all",
        "_owes_answer",
        "_sent",
        "acked_version",
        "delta",
        "full_state",
        "names",
        "nonce_acked",
        "nonce_sent",
        "outstanding",
        "rejected",
        "sent_version",
        "started",
        "wildcard",
    )

    def __init__(self, *, full_state: bool, delta: bool) -> None:
        self.full_state = full_state
        self.delta = delta
        self.started = False
        self.wildcard = False
        self.names: set[str] = set()
        self.outstanding: dict[str, Sent] = {}
        self.nonce_sent = ""
        self.nonce_acked = ""
        self.sent_version = ""
        self.acked_version = ""
        self.rejected: tuple[str, str] | None = None  # version, error; until a later version is acknowledged
        self._sent: dict[str, str] = {}
        self._legacy_wildcard = False
        self._owes_answer = False
        self._owes_all = False
        self._owed: set[str] = set()
        self._always_respond = False

    # What the client said

    def receive_sotw(self, names: Collection[str], nonce: str, error: str | None = None) -> Reaction:
        """A DiscoveryRequest. Raises nothing: every combination means something."""
        if not self.started or not nonce:
            # A nonce from another stream says nothing about this one: whatever it acknowledges, an answer is owed.
            self._start_sotw(names)
            return Reaction()
        answered = self._answer(nonce, error)
        if nonce != self.nonce_sent:
            # "The server should ignore a stale nonce": the client answers the newer response too, with its names.
            return Reaction(answered, error if answered else None, stale=True)
        self._change_names(names)
        if self._always_respond:
            self._always_respond = False
            if error is None and (self.names or self.wildcard):
                self._owes_answer = self._owes_all = True
        return Reaction(answered, error)

    def receive_delta(
        self,
        subscribe: Collection[str],
        unsubscribe: Collection[str],
        initial_versions: Mapping[str, str],
        nonce: str,
        error: str | None = None,
    ) -> Reaction:
        """A DeltaDiscoveryRequest. `initial_versions` counts only in the first one of a stream."""
        if not self.started:
            self._start_delta(subscribe, initial_versions)
            self._unsubscribe(unsubscribe)
            return Reaction()
        answered = self._answer(nonce, error) if nonce else ()
        # Independent of the nonce: a delta request may answer, subscribe, or both at once.
        self._subscribe(subscribe)
        self._unsubscribe(unsubscribe)
        return Reaction(answered, error if answered else None, stale=bool(nonce) and not answered)

    # What others ask of it

    def force(self, names: Iterable[str]) -> None:
        """Send these (where subscribed) with the next response even if unchanged: what refers to them warms again."""
        self._owed.update(names)

    def force_all(self) -> None:
        """Send everything again."""
        if self.active:
            self._owes_all = self._owes_answer = True

    def respond_always_once(self) -> None:
        """Answer the next request even if it looks like an ACK.

        After CDS was sent anew on a reconnected stream, the client's EDS request for warming clusters looks like one.
        """
        if self.started and not self.delta:
            self._always_respond = True

    # What is due

    @property
    def active(self) -> bool:
        return self.started and (self.wildcard or bool(self.names))

    @property
    def in_debt(self) -> bool:
        """Whether a request waits for an answer."""
        return self._owes_answer or self._owes_all

    @property
    def owes(self) -> bool:
        """Whether there may be something to send without any change: an answer, or names that were forced."""
        return self.in_debt or not self._owed.isdisjoint(self.names)

    @property
    def requested(self) -> frozenset[str] | None:
        """The names to build, None for all of the type."""
        return None if self.wildcard else frozenset(self.names)

    def told(self, name: str) -> str | None:
        """The version that the client has of this name; ABSENT when it was told that there is none; None: nothing."""
        return self._sent.get(name)

    def plan(self, desired: Mapping[str, str], hold_removals: bool = False) -> Plan:
        """What to send, now that `desired` (name → version) is what exists of what is subscribed."""
        if not self.started or not (self.active or self.in_debt):
            return Plan(due=False)
        if self.delta:
            return self._plan_delta(desired, hold_removals)
        if self.full_state:
            return self._plan_full(desired, hold_removals)
        return self._plan_partial(desired)

    def record_sent(self, nonce: str, plan: Plan) -> Sent:
        """The planned response went out under this nonce."""
        sent = Sent(nonce, plan.version, frozenset(plan.names) | frozenset(plan.removed))
        self._sent = dict(plan.state)
        self.outstanding[nonce] = sent
        self.nonce_sent = nonce
        self.sent_version = plan.version
        self._owes_answer = self._owes_all = False
        self._owed.clear()
        return sent

    # State of the world

    def _start_sotw(self, names: Collection[str]) -> None:
        self.started = True
        self.names = set(names) - {WILDCARD}
        self._legacy_wildcard = self.full_state and not names
        self.wildcard = self._legacy_wildcard or (self.full_state and WILDCARD in names)
        self._sent = {}
        self._owes_answer = self._owes_all = self.active
        self._always_respond = False

    def _change_names(self, names: Collection[str]) -> None:
        new = set(names) - {WILDCARD}
        if self._legacy_wildcard and not names:
            return
        self._legacy_wildcard = False
        wildcard = self.full_state and WILDCARD in names
        added = new - self.names
        if added or (wildcard and not self.wildcard):
            self._owes_answer = True
            self._owed |= added
        if not wildcard:
            self._sent = {name: version for name, version in self._sent.items() if name in new}
        self.names = new
        self.wildcard = wildcard
        if not self.active:
            self._owes_answer = self._owes_all = False

    def _plan_full(self, desired: Mapping[str, str], hold_removals: bool) -> Plan:
        gone = {name: version for name, version in self._sent.items() if name not in desired}
        kept = gone if hold_removals else {}
        state = {**desired, **kept}
        # Names owed make no difference here: a full-state response holds every name.
        due = self.in_debt or bool(self._owed & state.keys()) or state != self._sent
        return Plan(due, tuple(state), (), frozenset(kept), set_version(state), state)

    def _plan_partial(self, desired: Mapping[str, str]) -> Plan:
        names = self._changed(desired)
        # Only what exists can be said; a name that is gone keeps its last content with the client.
        state = dict(desired)
        return Plan(bool(names) or self.in_debt, names, (), frozenset(), set_version(state), state)

    # Delta

    def _start_delta(self, subscribe: Collection[str], initial_versions: Mapping[str, str]) -> None:
        self.started = True
        self.names = set(subscribe) - {WILDCARD}
        self._legacy_wildcard = self.full_state and not subscribe
        self.wildcard = self._legacy_wildcard or (self.full_state and WILDCARD in subscribe)
        self._sent = {
            name: version for name, version in initial_versions.items() if self.wildcard or name in self.names
        }
        self._owes_answer = self.active

    def _subscribe(self, names: Collection[str]) -> None:
        if not names:
            return
        if self.full_state and WILDCARD in names and not self.wildcard:
            self.wildcard = self._owes_answer = True
        new = set(names) - {WILDCARD}
        if new:
            # "Even if the server believes the client has it": the client may have forgotten it since.
            self.names |= new
            self._owed |= new
            self._owes_answer = True

    def _unsubscribe(self, names: Collection[str]) -> None:
        if not names:
            return
        if WILDCARD in names:
            self.wildcard = self._legacy_wildcard = False
            self._sent = {name: version for name, version in self._sent.items() if name in self.names}
        for name in names:
            if name == WILDCARD or name not in self.names:
                continue
            self.names.discard(name)
            if self.wildcard:
                # It still matches the wildcard: say once more whether it exists.
                self._owed.add(name)
            else:
                self._sent.pop(name, None)
                self._owed.discard(name)
        if not self.active:
            self._owes_answer = self._owes_all = False

    def _plan_delta(self, desired: Mapping[str, str], hold_removals: bool) -> Plan:
        names = self._changed(desired)
        gone = {name for name, version in self._sent.items() if version != ABSENT and name not in desired}
        held = frozenset(gone) if hold_removals else frozenset()
        told = self._sent
        missing = {n for n in self.names if n not in desired and (told.get(n) is None or n in self._owed)}
        removed = tuple(sorted((gone | missing) - held))
        state = {**desired, **{name: self._sent[name] for name in held}}
        version = set_version(state)
        state.update({name: ABSENT for name in self.names if name not in state})
        return Plan(bool(names or removed) or self.in_debt, names, removed, held, version, state)

    # Both

    def _changed(self, desired: Mapping[str, str]) -> tuple[str, ...]:
        told, owed, everything = self._sent, self._owed, self._owes_all
        return tuple(name for name, v in desired.items() if everything or name in owed or told.get(name) != v)

    def _answer(self, nonce: str, error: str | None) -> tuple[Sent, ...]:
        """Responses that this nonce settles: its own, and earlier ones, since answers come in order."""
        if nonce not in self.outstanding:
            return ()
        settled: list[Sent] = []
        for earlier in list(self.outstanding):
            sent = self.outstanding.pop(earlier)
            settled.append(sent)
            if earlier == nonce:
                break
        last = settled[-1]
        if error is None:
            self.nonce_acked = nonce
            self.acked_version = last.version
            self.rejected = None
        else:
            self.rejected = (last.version, error)
        return tuple(settled)
