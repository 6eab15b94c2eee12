"""What is known of one routed request, and what the router asks of the connection that it came by."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.filters.base import LocalReply
from sidecar.router.hash_policy import request_hash
from sidecar.router.retry import excluded_priorities
from sidecar.telemetry.span import Span
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.timers import Deadline
from sidecar.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from sidecar.config.routes import RetryPolicy, Route, RouteAction
    from sidecar.upstream.cluster import ClusterRuntime
    from sidecar.upstream.cluster_manager import ClusterManager
    from sidecar.upstream.host import Host
    from sidecar.upstream.pool import HostPool


class StreamTimers(Protocol):
    """The deadlines of one downstream connection, lent to the stream that it is serving."""

    request: Deadline
    attempt: Deadline


class RoutedState:
    """The slots of a routed request, set by the connection manager's stream; one object a request."""

    __slots__ = (
        "_backoff",
        "_body",
        "_body_bytes",
        "_body_sent",
        "_hash",
        "_waiting",
        "action",
        "chunked",
        "cluster",
        "clusters",
        "complete_ns",
        "filter_state",
        "finished",
        "host",
        "info",
        "original_destination",
        "per_try_timeout_ms",
        "replayable",
        "request",
        "request_complete",
        "request_trailers",
        "response",
        "response_started",
        "retry_policy",
        "route",
        "span",
        "suppress_envoy_headers",
        "timeout_ms",
        "timers",
        "tried",
        "upgrading",
        "upstream",
        "upstream_sent",
    )

    request: RequestHeaders
    response: ResponseHeaders | None
    info: StreamInfo
    route: Route | None
    action: RouteAction
    cluster: ClusterRuntime
    clusters: ClusterManager
    host: Host
    timers: StreamTimers
    upstream: UpstreamConnection | None
    request_trailers: Headers | None
    original_destination: tuple[str, int] | None
    suppress_envoy_headers: bool
    span: Span | None  # of a request that is traced
    retry_policy: RetryPolicy | None
    per_try_timeout_ms: float | None
    timeout_ms: float | None
    replayable: bool  # all of the request's body so far is still here
    tried: list[Host] | None  # hosts of failed attempts
    chunked: bool  # the request's body came without its length
    complete_ns: int  # when the request was whole, where that was after its head
    filter_state: dict[str, Any] | None
    finished: bool
    request_complete: bool
    response_started: bool
    upgrading: bool
    upstream_sent: bool
    _backoff: Deadline | None
    _body: list[bytes]
    _body_bytes: int
    _body_sent: int  # pieces of `_body` that the present attempt has sent
    _hash: tuple[int | None, tuple[bytes, ...]] | None
    _waiting: HostPool | None

    # ---- what the connection manager's stream answers to

    def reply(self, reply: LocalReply) -> None:
        """Answer downstream ourselves; ends the stream."""
        raise NotImplementedError

    def send_informational(self, headers: ResponseHeaders) -> None:
        """Pass on a 1xx response."""
        raise NotImplementedError

    def send_response(self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None) -> None:
        """Start the response downstream."""
        raise NotImplementedError

    def send_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        """Go on with the response."""
        raise NotImplementedError

    def send_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        """101: join both connections."""
        raise NotImplementedError

    def reset_downstream(self, details: str) -> None:
        """The response can not be finished: close."""
        raise NotImplementedError

    def hold_request(self, hold: bool) -> None:
        """Stop (or go on) reading the request's body."""
        raise NotImplementedError

    # ---- what picking a host asks

    def request_hash(self) -> int | None:
        """For balancers that hash; the cookies that a policy makes go out with the response."""
        policies = self.action.hash_policies
        if not policies:
            return None
        if self._hash is None:
            address = self.info.downstream_remote_address.rpartition(":")[0].strip("[]").encode()
            self._hash = request_hash(policies, self.request, address, _new_cookie)
        return self._hash[0]

    def host_attempts(self) -> int:
        """How often a retry may pick again to avoid a host it tried; 0 where it need not."""
        policy = self.retry_policy
        return policy.host_selection_attempts if policy is not None and policy.previous_hosts else 0

    def header(self, name: bytes) -> bytes | None:
        """A request header, for clusters that pick by one."""
        return self.request.get(name)

    def avoided_priorities(self, known: Sequence[int]) -> frozenset[int]:
        """The priorities that this attempt leaves out, as the retry policy says (previous_priorities)."""
        policy = self.retry_policy
        if policy is None or policy.previous_priorities_every is None or self.tried is None:
            return frozenset()
        return excluded_priorities(policy, [host.priority for host in self.tried], known)


def _new_cookie() -> bytes:
    return secrets.token_hex(8).encode()
