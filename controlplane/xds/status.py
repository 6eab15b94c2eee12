"""The record of every response, ACK and NACK: per proxy, type, version and time.

`ProxyStatus` is one connection. A push of a revision is a `PushRecord` there, decided once everything that it sent was
answered, together with what the client asked for because of it (the routes of a new listener, the endpoints of a new
cluster). `apply --wait`, `proxy-status` and the debug pages read it here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.xds.type_urls import CDS, DEPENDENTS, LDS, NDS, PUSH_ORDER, short_name

KEPT_PUSHES = 128
KEPT_REVISIONS = 4096

#: The summary of a type that a proxy never asked for.
NOT_SENT = "NOT SENT"


class State(StrEnum):
    ACKED = "ACKED"
    NACKED = "NACKED"
    UNAFFECTED = "UNAFFECTED"
    PENDING = "PENDING"
    DISCONNECTED = "DISCONNECTED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one revision at one proxy. `at`: monotonic seconds when it was decided."""

    state: State
    types: tuple[str, ...] = ()
    at: float | None = None
    error: str | None = None


@dataclass(slots=True)
class TypeStatus:
    """One type at one proxy. Times are seconds since the epoch."""

    sent_version: str = ""
    sent_at: float | None = None
    acked_version: str = ""
    acked_at: float | None = None
    error: str | None = None
    error_at: float | None = None
    translation_error: str | None = None
    outstanding: int = 0
    pushes: int = 0
    rejects: int = 0

    @property
    def summary(self) -> str:
        """In the words of `istioctl proxy-status`."""
        if self.error is not None:
            return "NACKED"
        if self.sent_at is None:
            return NOT_SENT
        return "STALE" if self.outstanding or self.translation_error else "SYNCED"


@dataclass(slots=True)
class PushRecord:
    """One push to one proxy, up to and including `revision`."""

    revision: int
    needs_types: frozenset[str] = frozenset()
    sent: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)  # nonce → type
    awaits: dict[str, set[str]] = field(default_factory=dict)  # type → names the client is about to ask for
    finished: bool = False
    outcome: Outcome | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is on its way any more: everything sent, answered, and asked for."""
        return self.finished and not (self.waiting or self.needs_types or any(self.awaits.values()))

    def add_sent(self, type_url: str, nonce: str) -> None:
        name = short_name(type_url)
        if name not in self.sent:
            self.sent.append(name)
        self.waiting[nonce] = type_url

    def add_awaited(self, type_url: str, names: Iterable[str]) -> None:
        self.awaits.setdefault(type_url, set()).update(names)


class ProxyStatus:
    """One connection of one proxy. `clock`: monotonic seconds; `wall`: seconds since the epoch.

    `names_only`: the agent's own stream beside that of its Envoy, which asks for the name table alone.
    """

    def __init__(
        self,
        connection_id: str,
        proxy_id: str,
        kind: str,
        address: str,
        variant: str,
        peer: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        changed: Callable[[], None],
        names_only: bool = False,
    ) -> None:
        self.names_only = names_only
        self.connection_id = connection_id
        self.proxy_id = proxy_id
        self.kind = kind
        self.address = address
        self.variant = variant
        self.peer = peer
        self.connected_since = wall()
        self.types: dict[str, TypeStatus] = {}
        self.records: deque[PushRecord] = deque(maxlen=KEPT_PUSHES)
        self._undecided: list[PushRecord] = []
        self._clock = clock
        self._wall = wall
        self._changed = changed

    @property
    def latest_revision(self) -> int:
        """The newest revision that this connection was given."""
        return self.records[-1].revision if self.records else 0

    def type(self, type_url: str) -> TypeStatus:
        status = self.types.get(type_url)
        if status is None:
            status = self.types[type_url] = TypeStatus()
        return status

    def connected(self, revision: int) -> None:
        """A new stream starts at this revision: decided when what it surely asks for was answered."""
        needs = frozenset((NDS,) if self.names_only else (CDS, LDS))
        record = PushRecord(revision, needs_types=needs, finished=True)
        self.records.append(record)
        self._undecided.append(record)

    def begin(self, revision: int) -> None:
        """A push of everything up to `revision` starts.

        What the client is about to ask for anyway is not sent by it, and yet brings it: so this push waits for it too.
        """
        record = PushRecord(revision)
        if self._undecided:
            record.awaits = {type_url: set(names) for type_url, names in self._undecided[-1].awaits.items()}
        self.records.append(record)
        self._undecided.append(record)

    def sent(self, type_url: str, nonce: str, version: str, awaits: Iterable[str], dependent: str | None) -> None:
        """A response goes out; because of it the client will ask for `awaits` of the dependent type."""
        status = self.type(type_url)
        status.sent_version = version
        status.sent_at = self._wall()
        status.pushes += 1
        status.outstanding += 1
        status.translation_error = None
        if not self._undecided:
            return
        record = self._undecided[-1]
        record.add_sent(type_url, nonce)
        if dependent is not None:
            record.add_awaited(dependent, awaits)

    def let_go(self, type_url: str, names: Iterable[str]) -> None:
        """The client let go of these, though what was sent to it since refers to them: it will ask for them again."""
        if self._undecided:
            self._undecided[-1].add_awaited(type_url, names)

    def awaits(self, type_url: str) -> bool:
        """Whether a push waits for the client to ask for names of this type."""
        return any(record.awaits.get(type_url) for record in self._undecided)

    def await_only(self, type_url: str, names: Iterable[str]) -> None:
        """Of this type the client has reason to ask for these alone."""
        wanted = set(names)
        for record in self._undecided:
            if type_url in record.awaits:
                record.awaits[type_url] &= wanted

    def answered(
        self, type_url: str, nonces: Iterable[str], error: str | None, version: str, known: Callable[[str], bool]
    ) -> None:
        """These responses were acknowledged, or rejected with `error`. `known`: names of the type the client has."""
        status = self.type(type_url)
        now = self._wall()
        settled = set(nonces)
        status.outstanding = max(0, status.outstanding - len(settled))
        if error is None:
            status.acked_version, status.acked_at, status.error = version, now, None
        else:
            status.error, status.error_at = error, now
            status.rejects += 1
            if type_url in DEPENDENTS:
                self.await_only(DEPENDENTS[type_url], ())  # who rejects what refers to them may never ask for them
        for record in self._undecided:
            hit = settled & record.waiting.keys()
            for nonce in hit:
                del record.waiting[nonce]
            if hit and error is not None:
                self._decide(record, State.NACKED, f"{short_name(type_url)}: {error}")
            awaited = record.awaits.get(type_url)
            if awaited:
                awaited -= {name for name in awaited if known(name)}
            record.needs_types -= {type_url}
        self.settle()

    def failed(self, type_url: str, error: str) -> None:
        """Translation of the type raised; nothing was sent."""
        self.type(type_url).translation_error = error
        if self._undecided:
            self._decide(self._undecided[-1], State.NACKED, f"{short_name(type_url)}: {error}")

    def finish(self) -> None:
        """The running push has sent everything it had to."""
        for record in self._undecided:
            record.finished = True
        self.settle()

    def hold(self) -> None:
        """The running push is to send more once its routes are acknowledged."""
        if self._undecided:
            self._undecided[-1].finished = False

    def settle(self) -> None:
        """Decide what can be decided. Whatever settles a later push settles the earlier ones."""
        decided: Outcome | None = None
        for record in reversed(self._undecided):
            if record.outcome is None:
                if record.is_settled and not record.sent:
                    self._decide(record, State.UNAFFECTED, None)
                elif record.is_settled or (decided is not None and decided.state is State.ACKED):
                    self._decide(record, State.ACKED, None)
            decided = record.outcome or decided
        undecided = [record for record in self._undecided if record.outcome is None]
        if len(undecided) < len(self._undecided):
            self._undecided = undecided
            self._changed()

    def outcome(self, revision: int) -> Outcome | None:
        """What became of the revision here; None while it is undecided or has not got here yet."""
        found: PushRecord | None = None
        for record in reversed(self.records):  # the newest are asked for
            if record.revision < revision:
                break
            found = record
        return found.outcome if found is not None else None

    def _decide(self, record: PushRecord, state: State, error: str | None) -> None:
        if record.outcome is None:
            record.outcome = Outcome(state, tuple(record.sent), self._clock(), error)

    def errors(self) -> dict[str, str]:
        """Type → why its newest version is not in force."""
        found = {short_name(t): s.error or s.translation_error for t, s in self.types.items()}
        return {name: text for name, text in found.items() if text}

    def summaries(self) -> dict[str, str]:
        """Type URL → SYNCED, STALE, NOT SENT or NACKED, for every type that is served."""
        return {t: self.types[t].summary if t in self.types else NOT_SENT for t in PUSH_ORDER}


class StatusBoard:
    """All connections, and when each revision was written."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.clock = clock
        self.wall = wall
        self.connections: dict[str, ProxyStatus] = {}
        self.latest_revision = 0
        self.build_error: tuple[int, str] | None = None
        self._written: OrderedDict[int, float] = OrderedDict()
        self._watchers: set[asyncio.Event] = set()

    def written(self, revision: int) -> None:
        """The store reached this revision now."""
        self._written[revision] = self.clock()
        self.latest_revision = max(self.latest_revision, revision)
        if len(self._written) > KEPT_REVISIONS:
            self._written.popitem(last=False)

    def written_at(self, revision: int) -> float | None:
        return self._written.get(revision)

    def connect(
        self,
        connection_id: str,
        proxy_id: str,
        kind: str,
        address: str,
        variant: str,
        peer: str,
        names_only: bool = False,
    ) -> ProxyStatus:
        who = (connection_id, proxy_id, kind, address, variant, peer)
        status = ProxyStatus(*who, self.clock, self.wall, self.notify, names_only)
        self.connections[connection_id] = status
        self.notify()
        return status

    def disconnect(self, connection_id: str) -> None:
        self.connections.pop(connection_id, None)
        self.notify()

    def current(self) -> dict[str, ProxyStatus]:
        """Proxy → its newest connection (a restarted proxy may be back before its old stream is known to be dead)."""
        return {status.proxy_id: status for status in self.connections.values() if not status.names_only}

    def names_streams(self) -> dict[str, ProxyStatus]:
        """Proxy → the newest stream that its agent has for the name table alone."""
        return {status.proxy_id: status for status in self.connections.values() if status.names_only}

    def build_failed(self, revision: int, error: str) -> None:
        """No snapshot could be made of this revision."""
        self.build_error = (revision, error)
        self.notify()

    def build_succeeded(self) -> None:
        self.build_error = None

    def notify(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever a push is decided or a proxy comes or goes, while the context lasts."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)
