"""One stream of one proxy: requests and pushes in, responses out, in order and one at a time.

A stream never waits for another: each has its own worker, and pushes that arrive while it is busy merge into one.
It looks at the mesh through the snapshot of its last push, never at a newer one, so that an answer to a request
cannot overtake the push that brings what the answer refers to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.xds.codec import Codec
from controlplane.xds.observer import XdsObserver
from controlplane.xds.references import ReferenceCache
from controlplane.xds.status import ProxyStatus
from controlplane.xds.subscription import Plan, Subscription
from controlplane.xds.translation import Built, Translates
from controlplane.xds.type_urls import CDS, DEPENDENTS, EDS, LDS, PUSH_ORDER, RDS, WILDCARD_TYPES, short_name

log = logging.getLogger(__name__)

#: Type → the type of what refers to it.
_PARENTS = {dependent: parent for parent, dependent in DEPENDENTS.items()}

# Requests that wait for the worker; more stay unread in gRPC's window.
REQUEST_BACKLOG = 64
# A client that reads but never answers gets no more than this many unanswered responses of a type.
OUTSTANDING_LIMIT = 16
# Nor may it ask again and again without answering what it got.
UNANSWERED_LIMIT = 256
# Names that one proxy may subscribe to, per type.
NAMES_LIMIT = 50_000


class AsksTooMuch(Exception):
    """The client asks for more than a proxy can want: its stream ends."""


@dataclass(frozen=True, slots=True)
class Push:
    """A new snapshot. `types`: type URLs that can differ. `at`: monotonic seconds of the oldest change in it."""

    snapshot: Any
    revision: int
    types: frozenset[str]
    at: float
    queued_at: float
    force: bool = False

    def merge(self, later: Push) -> Push:
        """The later snapshot, for everything that either changed."""
        return Push(
            later.snapshot,
            later.revision,
            self.types | later.types,
            min(self.at, later.at),
            min(self.queued_at, later.queued_at),
            self.force or later.force,
        )


class Connection:
    """`view`: what the stream starts with. `write` sends one response and may wait for the client's window."""

    def __init__(
        self,
        proxy: Any,
        codec: Codec,
        translator: Translates,
        view: Push,
        status: ProxyStatus,
        observer: XdsObserver,
        references: ReferenceCache,
        clock: Callable[[], float],
        write: Callable[[Any], Awaitable[None]],
    ) -> None:
        self.proxy = proxy
        self.status = status
        self.subscriptions: dict[str, Subscription] = {}
        self._codec = codec
        self._translator = translator
        self._snapshot = view.snapshot
        self._observer = observer
        self._references = references
        self._clock = clock
        self._write = write
        self._requests: deque[Any] = deque()
        self._room = asyncio.Event()
        self._wake = asyncio.Event()
        self._room.set()
        self._pending: Push | None = None
        #: Clusters and listeners as sent last, clusters that are held included.
        self._latest: dict[str, Mapping[str, Built]] = {type_url: {} for type_url in DEPENDENTS}
        self._holds_clusters = False
        self._sent_at: dict[str, float] = {}  # nonce → monotonic seconds
        self._unknown_types: set[str] = set()
        self._nonce = 0
        status.connected(view.revision)

    # Input

    def push(self, push: Push) -> None:
        """Bring a new snapshot to this proxy. Returns at once; merges with one that still waits."""
        self._pending = push if self._pending is None else self._pending.merge(push)
        self._wake.set()

    async def feed(self, request: Any) -> None:
        """Queue a request; waits while the worker is far behind, so that gRPC's flow control slows the client."""
        self._requests.append(request)
        self._wake.set()
        if len(self._requests) >= REQUEST_BACKLOG:
            self._room.clear()
            await self._room.wait()

    # The worker

    async def run(self) -> None:
        """Serve until cancelled. Raises AsksTooMuch, and whatever writing raises once the stream is gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._requests:
                self._receive(self._requests.popleft())
            self._room.set()
            await self._flush()

    def _receive(self, request: Any) -> None:
        type_url = request.type_url
        if type_url not in PUSH_ORDER:
            if type_url not in self._unknown_types and len(self._unknown_types) < 32:
                self._unknown_types.add(type_url)
                log.warning("%s asks for %s, which is not served: no answer", self.status.proxy_id, type_url)
            return
        subscription = self.subscriptions.get(type_url)
        if subscription is None:
            full_state = type_url in WILDCARD_TYPES
            subscription = Subscription(full_state=full_state, delta=self._codec.delta)
            self.subscriptions[type_url] = subscription
        starts = not subscription.started
        before = set(subscription.names) if type_url in _PARENTS else set()
        reaction = self._codec.receive(subscription, request)
        if len(subscription.names) > NAMES_LIMIT:
            raise AsksTooMuch(f"{short_name(type_url)}: more than {NAMES_LIMIT} names in one subscription")
        if starts and type_url == CDS and EDS in self.subscriptions:
            self.subscriptions[EDS].respond_always_once()
        if let_go := before - subscription.names:
            # It may have answered what went out before a listener, or cluster, that wants them again.
            self.status.let_go(type_url, let_go & self._referred_by_latest(_PARENTS[type_url]))
        if reaction.answered:
            self._record_answer(type_url, subscription, [sent.nonce for sent in reaction.answered], reaction.error)

    def _record_answer(self, type_url: str, subscription: Subscription, nonces: list[str], error: str | None) -> None:
        kind = short_name(type_url)
        sent_at = [self._sent_at.pop(nonce) for nonce in nonces if nonce in self._sent_at]
        if error is None:
            if sent_at:
                self._observer.acknowledged(kind, self._clock() - sent_at[-1])
        else:
            self._observer.rejected(kind)
            log.warning("%s rejected %s: %s", self.status.proxy_id, kind, error)

        def known(name: str) -> bool:
            return subscription.told(name) is not None

        self.status.answered(type_url, nonces, error, subscription.acked_version, known)

    async def _flush(self) -> None:
        push = None if self._is_overloaded() else self._pending
        if push is not None:
            self._pending = None
            self._snapshot = push.snapshot
            self._observer.queued(self._clock() - push.queued_at)
            self.status.begin(push.revision)
        hold = self._routes_may_change(push)
        for type_url in PUSH_ORDER:
            subscription = self.subscriptions.get(type_url)
            if subscription is None:
                continue
            if push is not None and push.force:
                subscription.force_all()
            if subscription.owes or (push is not None and type_url in push.types):
                await self._send(type_url, subscription, hold and type_url == CDS)
        if self._holds_clusters and not self._routes_unsettled():
            await self._send(CDS, self.subscriptions[CDS], hold=False)
        if self._holds_clusters and self._routes_outstanding():
            self.status.hold()
        else:
            self.status.finish()
        if push is not None:
            self._observer.converged(self._clock() - push.at)

    async def _send(self, type_url: str, subscription: Subscription, hold: bool) -> None:
        """Send what differs of one type. `hold`: clusters that are gone stay, until no route can name them."""
        kind = short_name(type_url)
        if not subscription.active and not subscription.owes:
            return
        started = self._clock()
        try:
            built = self._translator.build(self._snapshot, self.proxy, type_url, subscription.requested)
        except Exception as error:
            # One proxy's bad luck: its stream stays up with the last good version, and says so.
            log.exception("%s for %s could not be translated", kind, self.status.proxy_id)
            self._observer.translation_failed(kind)
            self.status.failed(type_url, f"the control plane could not translate it: {type(error).__name__}: {error}")
            return
        self._observer.translated(kind, self._clock() - started)
        plan = subscription.plan({name: resource.version for name, resource in built.items()}, hold)
        resources = built
        if type_url == CDS:
            self._holds_clusters = bool(plan.held)
            if plan.held and not self._codec.delta:
                resources = {**{name: self._latest[CDS][name] for name in plan.held}, **built}
        if plan.due:
            await self._send_plan(type_url, subscription, plan, resources)
        dependent = DEPENDENTS.get(type_url)
        if dependent is not None:
            self._latest[type_url] = resources
            if self.status.awaits(dependent):
                self.status.await_only(dependent, self._referred_by_latest(type_url))

    async def _send_plan(
        self, type_url: str, subscription: Subscription, plan: Plan, resources: Mapping[str, Built]
    ) -> None:
        kind = short_name(type_url)
        if len(subscription.outstanding) >= UNANSWERED_LIMIT:
            raise AsksTooMuch(f"{kind}: {UNANSWERED_LIMIT} responses have no ACK or NACK; answer with their nonces")
        self._nonce += 1
        nonce = f"{self.status.connection_id}-{self._nonce}"
        response = self._codec.render(type_url, nonce, plan, resources)
        refers = self._referred(type_url, subscription, plan, resources)
        dependent = DEPENDENTS.get(type_url)
        awaits = refers
        if dependent is not None and dependent in self.subscriptions:
            below = self.subscriptions[dependent]
            awaits = frozenset(name for name in refers if below.told(name) is None)
        if type_url == CDS and refers:
            # A changed cluster warms anew and is not used before it gets its endpoints, changed or not.
            self._endpoints_subscription().force(refers)
        subscription.record_sent(nonce, plan)
        self._sent_at[nonce] = self._clock()
        self.status.sent(type_url, nonce, plan.version, awaits, dependent)
        try:
            await self._write(response)
        except Exception:
            self._observer.send_failed(kind)
            raise
        self._observer.pushed(kind, response.ByteSize())

    def _referred(
        self, type_url: str, subscription: Subscription, plan: Plan, resources: Mapping[str, Built]
    ) -> frozenset[str]:
        """Names of the dependent type that the new and changed resources of this plan refer to."""
        if type_url not in DEPENDENTS:
            return frozenset()
        names: set[str] = set()
        for name in plan.names:
            resource = resources[name]
            if subscription.told(name) != resource.version:
                names |= self._references.get(type_url, name, resource.version, resource.message)
        return frozenset(names)

    def _referred_by_latest(self, type_url: str) -> frozenset[str]:
        """Names of the dependent type that the clusters, or listeners, as sent last refer to."""
        get = self._references.get
        resources = self._latest[type_url].items()
        return frozenset().union(*(get(type_url, name, one.version, one.message) for name, one in resources))

    def _endpoints_subscription(self) -> Subscription:
        subscription = self.subscriptions.get(EDS)
        if subscription is None:
            subscription = self.subscriptions[EDS] = Subscription(full_state=False, delta=self._codec.delta)
        return subscription

    # Make before break

    def _routes_may_change(self, push: Push | None) -> bool:
        """Whether this flush may change what refers to clusters, or a change of it is not settled yet."""
        if self._routes_unsettled():
            return True
        for type_url in (LDS, RDS):
            subscription = self.subscriptions.get(type_url)
            if subscription is not None and (subscription.owes or (push is not None and type_url in push.types)):
                return True
        return False

    def _routes_unsettled(self) -> bool:
        """Whether the proxy may still use routes that name removed clusters: unanswered, or kept by a rejection."""
        return self._routes_outstanding() or any(
            self.subscriptions[t].rejected for t in (LDS, RDS) if t in self.subscriptions
        )

    def _routes_outstanding(self) -> bool:
        return any(self.subscriptions[t].outstanding for t in (LDS, RDS) if t in self.subscriptions)

    def _is_overloaded(self) -> bool:
        return any(len(s.outstanding) >= OUTSTANDING_LIMIT for s in self.subscriptions.values())
