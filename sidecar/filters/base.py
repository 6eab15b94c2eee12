"""The shape of an HTTP filter: synchronous, pure, and leaving the fast path only by asking for a pause.

The connection manager calls `on_request` of each filter in order, then routes; `on_response` in reverse order when
the response's head is there. A filter answers None (go on), a `LocalReply` (answer now, upstream never sees the
request) or a `Pause` (go on after a delay, with what `then` says). Per-route settings are compiled beforehand:
`stream.route_config(name)` gives the filter's own, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.rejected import At
from sidecar.telemetry.stream_info import StreamInfo


class FilterStream(Protocol):
    """What a filter may see and touch of the request that passes."""

    request: RequestHeaders
    response: ResponseHeaders | None
    info: StreamInfo
    #: What a filter must remember from a request to its response, by filter name; None until one does.
    filter_state: dict[str, Any] | None

    def route_config(self, filter_name: str) -> Any:
        """The compiled per-route (else per-virtual-host) configuration of a filter, or None."""

    def random(self) -> float:
        """Uniform in [0, 1)."""


class LocalReply:
    """An answer of the proxy itself. `details` is %RESPONSE_CODE_DETAILS%; `flags` are response flags to add."""

    __slots__ = ("body", "details", "flags", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        details: str = "",
        flags: int = 0,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.details = details
        self.flags = flags
        self.headers = headers


class Pause:
    """Hold the request for `delay_ms`, then go on with what `then(stream)` answers (None: the next filter)."""

    __slots__ = ("delay_ms", "then")

    def __init__(self, delay_ms: float, then: Callable[[FilterStream], LocalReply | None] | None = None) -> None:
        self.delay_ms = delay_ms
        self.then = then


class HttpFilter:
    """Base of all HTTP filters; one instance serves every request of a chain.

    `name` is the filter's name in the chain, by which per-route settings find it (usually Envoy's name of the kind).
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def acts_with(self, route_config: Any) -> bool:
        """Whether there is anything to do on routes with this setting; asked once per route, not per request."""
        return True

    def on_request(self, stream: FilterStream) -> LocalReply | Pause | None:
        """Called with the whole request head."""
        return None

    def on_response(self, stream: FilterStream) -> None:
        """Called with the response head, before it is sent; may change its headers."""


class _Disabled:
    """The type of DISABLED."""

    __slots__ = ()


#: A per-route setting that switches the filter off there (envoy.config.route.v3.FilterConfig.disabled).
DISABLED: Final = _Disabled()


class Layered:
    """A per-route setting that leaves to the levels above it (virtual host, route configuration) what it lacks."""

    __slots__ = ()

    def over(self, upper: Any) -> object:
        """This setting, completed with `upper`, the setting of the same filter that counts one level above."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterKind:
    """What the compiler needs of a kind of filter: its messages, and how to read them. Both readers raise Rejected.

    `build` answers None where the settings leave nothing to do. `route` reads the per-route message `route_config`
    into whatever `stream.route_config(name)` shall answer; None for filters without per-route settings.
    """

    config: type[Message]
    build: Callable[[str, Any, At], HttpFilter | None]
    route_config: type[Message] | None = None
    route: Callable[[Any, At], object] | None = None
