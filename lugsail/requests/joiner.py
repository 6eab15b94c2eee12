"""Hops out of lines: the client's and the server's line of one request between two workloads, in order of time.

Both lines carry the same x-request-id, and the server's proxy saw the client's from the address that the client's
proxy called from. Proxies write their logs once a second, so a hop is held back until SETTLE_S after it began (a
server's line alone for SERVER_WAIT_S after it was read): what settles in time comes out in order of its start, and a
request that took longer comes when it is known. Time arrives as an argument.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from lugsail.requests.line import Line, host_of

SETTLE_S = 2.0
SERVER_WAIT_S = 1.5
#: How long a client's line waits for servers that answer after it gave up.
REMEMBERED_S = 60.0
MAX_REMEMBERED = 20_000
MAX_OF_ONE_ID = 256
SLACK_S = 0.01  # times in logs are cut to milliseconds
NEITHER, THE_HOST, THE_CONNECTION = range(3)  # what addresses of a client's and a server's line have in common
SHADOW = "-shadow"  # what Envoy appends to the host of a mirrored request


@dataclass(slots=True, eq=False)
class Hop:
    """One request from one workload to another. At least one of `client` and `servers` is there.

    `servers`: what the called proxies saw: one line an attempt that arrived. `mirrored_from`: of a mirrored request,
    the request that it is a copy of.
    """

    client: Line | None
    servers: list[Line] = field(default_factory=list)
    mirrored_from: Line | None = None
    key: str = ""
    is_out: bool = False

    @property
    def line(self) -> Line:
        """The line that tells of it: the client's, else the server's."""
        return self.client or self.servers[0]

    @property
    def attempts(self) -> int | None:
        """How many arrived at a proxy, where that is known."""
        return len(self.servers) if self.client is not None and self.servers else None

    @property
    def flags(self) -> list[tuple[Line, str]]:
        """Response flags with whose line has them: the called proxy tells that its app is down, not the caller's.

        That a client who gave up (and says why) went away from the server is no news.
        """
        own = [(self.line, flag) for flag in self.line.flags]
        others = [(line, flag) for line in self.servers if line is not self.line for flag in line.flags]
        return own + [(line, flag) for line, flag in others if flag != "DC" or not own]

    @property
    def is_mirror(self) -> bool:
        return self.client is None and _is_shadow(self.line.authority)


class Joiner:
    """Takes lines, gives hops. `both`: every line is a row of its own."""

    def __init__(self, both: bool = False) -> None:
        self._both = both
        self._heap: list[tuple[float, int, Hop]] = []
        self._number = 0
        self._hops: dict[str, list[Hop]] = {}
        self._remembered: deque[tuple[float, Hop]] = deque()

    def add(self, line: Line, is_server: bool, now: float) -> None:
        """One line that was read at `now` (seconds since the epoch)."""
        if self._both:
            self._wait(Hop(None, [line]) if is_server else Hop(line), line.start + SETTLE_S)
            return
        key = line.request_id or (line.downstream_remote if is_server else line.upstream_local)
        if is_server:
            client = _client_of(line, self._hops.get(key, ()))
            if client is not None and _fit(client.client, line) == THE_CONNECTION:
                client.servers.append(line)
                return
            hop = Hop(None, [line], key=key)
            self._wait(hop, max(line.start + SETTLE_S, now + SERVER_WAIT_S))
        else:
            hop = Hop(line, key=key)
            self._wait(hop, line.start + SETTLE_S)
        if key:
            self._remember(hop, now)

    def due(self, now: float) -> list[Hop]:
        """The hops that have settled, by start; call it every tenth of a second."""
        out = []
        while self._heap and self._heap[0][0] <= now:
            out.append(heapq.heappop(self._heap)[2])
        return self._settled(out, now)

    def flush(self, now: float) -> list[Hop]:
        """All that wait."""
        out = [hop for _, _, hop in self._heap]
        self._heap.clear()
        return self._settled(out, now)

    @property
    def waiting(self) -> int:
        return len(self._heap)

    @property
    def waits_for_clients(self) -> bool:
        """Whether there are servers' lines whose client's line may still come."""
        return not self._both and any(hop.client is None and not hop.is_out for _, _, hop in self._heap)

    def _settled(self, hops: list[Hop], now: float) -> list[Hop]:
        """In order of start. Servers' lines that belong to a client's are not rows, and are told to it in time."""
        if not self._both:
            for hop in hops:
                self._gather(hop)
        self._forget(now)
        chosen = sorted((hop for hop in hops if not hop.is_out), key=lambda hop: hop.line.start)
        for hop in chosen:
            hop.is_out = True
            hop.servers.sort(key=lambda line: line.start)
        return chosen

    def _gather(self, hop: Hop) -> None:
        known = self._hops.get(hop.key, [])
        if hop.client is None and hop.is_mirror:
            hop.mirrored_from = _mirrored(hop.servers[0], known)
            return
        waiting = [hop] if hop.client is None else [each for each in known if each.client is None and not each.is_out]
        for other in waiting:
            client = _client_of(other.servers[0], known)
            if client is not None and not other.is_out and hop in (client, other):
                other.is_out = True
                client.servers += other.servers

    def _wait(self, hop: Hop, until: float) -> None:
        self._number += 1
        heapq.heappush(self._heap, (until, self._number, hop))

    def _remember(self, hop: Hop, now: float) -> None:
        hops = self._hops.setdefault(hop.key, [])
        hops.append(hop)
        if len(hops) > MAX_OF_ONE_ID:
            del hops[0]
        self._remembered.append((now + REMEMBERED_S, hop))

    def _forget(self, now: float) -> None:
        while self._remembered and (self._remembered[0][0] <= now or len(self._remembered) > MAX_REMEMBERED):
            hop = self._remembered.popleft()[1]
            hops = self._hops.get(hop.key, [])
            if hop in hops:
                hops.remove(hop)
            if not hops:
                self._hops.pop(hop.key, None)


def _client_of(server: Line, known: Sequence[Hop]) -> Hop | None:
    """Whose attempt that was: of those that fit in time and host the one whose addresses fit best."""
    fitting = [hop for hop in known if hop.client is not None and _contains(hop.client, server)]
    return max(fitting, key=lambda hop: _fit(hop.client, server), default=None)


def _mirrored(server: Line, known: list[Hop]) -> Line | None:
    fitting = (hop.client for hop in known if hop.client is not None)
    return next((line for line in fitting if _contains(line, server, shadow=True)), None)


def _contains(client: Line, server: Line, shadow: bool = False) -> bool:
    """Whether the server's request can be an attempt (or, `shadow`, a copy) of the client's."""
    if client.proxy == server.proxy and client.upstream_local != server.downstream_remote:
        return False
    if client.request_id != server.request_id or client.method != server.method:
        return False
    authority = _without_shadow(server.authority) if shadow else server.authority
    if authority != client.authority:
        return False
    return client.start - SLACK_S <= server.start <= client.end + SLACK_S


def _fit(client: Line | None, server: Line) -> int:
    """How well addresses fit."""
    if client is None:
        return NEITHER
    if client.upstream_local and client.upstream_local == server.downstream_remote:
        return THE_CONNECTION
    return THE_HOST if host_of(client.upstream_host) == host_of(server.downstream_local) else NEITHER


def _is_shadow(authority: str) -> bool:
    return _without_shadow(authority) != authority


def _without_shadow(authority: str) -> str:
    """`reviews-shadow:9080` → `reviews:9080`: Envoy puts the word before the port."""
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and host.endswith(SHADOW):
        return f"{host.removesuffix(SHADOW)}:{port}"
    return authority.removesuffix(SHADOW)
