"""The Docker Engine for an event loop: the SDK's blocking calls in threads, its event stream in one of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

log = logging.getLogger(__name__)

TIMEOUT_S = 5
_WORKERS = 8

# What changes a container's place in the mesh. A health check's own execs would be most of a stream without a filter.
EVENTS = (
    *("create", "start", "kill", "die", "pause", "unpause", "health_status", "destroy", "rename", "update"),
    *("connect", "disconnect"),
)


class EngineError(Exception):
    """The Engine does not answer as it should; the text names it, what is wrong and what would be right."""


class Engine:
    """One Engine, connected. Every call raises EngineError."""

    def __init__(self, host: str, client: docker.APIClient, executor: ThreadPoolExecutor) -> None:
        self.host = host
        self._client = client
        self._executor = executor
        self._stream: Any = None

    @classmethod
    async def connect(cls, host: str) -> Engine:
        """`host`: unix:///path or tcp://host:port."""
        executor = ThreadPoolExecutor(_WORKERS, thread_name_prefix="docker")
        try:
            client = await asyncio.get_running_loop().run_in_executor(executor, _client, host)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        return cls(host, client, executor)

    async def list(self, label: str = "") -> list[dict[str, Any]]:
        """All containers, also those that do not run; `label`: KEY or KEY=VALUE that they carry."""
        filters = {"label": [label]} if label else None
        found: list[dict[str, Any]] = await self._call(self._client.containers, all=True, filters=filters)
        return found

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """One container by id or name; None when there is none."""
        from docker.errors import NotFound

        def inspect() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = self._client.inspect_container(container)
            except NotFound:
                return None
            return found

        answer: dict[str, Any] | None = await self._call(inspect)
        return answer

    async def subscribe(
        self, since_s: int, heard: Callable[[Mapping[str, Any]], None], ended: Callable[[], None]
    ) -> None:
        """Hear of every event since (seconds since 1970) until `close`; `ended`: the stream did. Both from the loop.

        The Engine answers before it listens itself, so that only `since` in the past makes a start without a gap.
        """
        filters = {"type": ["container", "network"], "event": list(EVENTS)}
        self._stream = await self._call(self._client.events, since=since_s, filters=filters, decode=True)
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=_follow, args=(self._stream, loop, heard, ended), name="docker-events", daemon=True
        )
        thread.start()

    async def close(self) -> None:
        """End the stream and the connections."""
        if self._stream is not None:
            try:
                self._stream.close()
            except (OSError, AttributeError):
                pass  # closed by the other side already
        self._client.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        try:
            # Beyond the SDK's own limit, which does not count for the event stream.
            async with asyncio.timeout(2 * TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(**arguments))
        except Exception as error:
            raise _engine_error(self.host, error) from error


def _client(host: str) -> docker.APIClient:
    # Here, so that a control plane without Docker has neither its memory nor its start-up time.
    import docker

    try:
        client = docker.APIClient(base_url=host, version="auto", timeout=TIMEOUT_S, max_pool_size=2 * _WORKERS)
    except Exception as error:
        raise _engine_error(host, error) from error
    client.trust_env = False  # http_proxy and all_proxy are not meant for a socket
    return client


def _follow(
    stream: Any,
    loop: asyncio.AbstractEventLoop,
    heard: Callable[[Mapping[str, Any]], None],
    ended: Callable[[], None],
) -> None:
    try:
        for event in stream:
            loop.call_soon_threadsafe(heard, event)
    except Exception as error:
        # Of the SDK or of what it stands on, or the loop is closed: the stream is over in any case.
        log.debug("the event stream broke: %r", error)
    try:
        loop.call_soon_threadsafe(ended)
    except RuntimeError:
        pass  # nobody is left to hear it


def _engine_error(host: str, error: BaseException) -> EngineError:
    answer = getattr(error, "explanation", None)  # an APIError's: the Engine's own words
    if answer:
        return EngineError(f"Docker Engine {host}: {answer}")
    reason = _reason(error)
    hint = "is it running, and is this its socket (--docker-host)?"
    if isinstance(reason, PermissionError):
        hint = "run as a member of the socket's group: --user UID of a start as root joins it"
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason) or type(reason).__name__
    return EngineError(f"Docker Engine {host}: {text}; {hint}")


def _reason(error: BaseException) -> BaseException:
    """The innermost error: requests and urllib3 wrap each in arguments, causes and `reason`."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [e for e in (*error.args, error.__cause__, error.__context__) if isinstance(e, BaseException)]
        nested = [e for arg in error.args if isinstance(arg, tuple) for e in arg if isinstance(e, BaseException)]
        for candidate in (*nested, *inner):
            if id(candidate) not in seen:
                error = candidate
                break
    return error
