"""Calls another service and always comes back with an answer: a status and a JSON body, never an exception.

The proxy is the one that `http_proxy` names, unless `no_proxy` covers the host. aiohttp's own `trust_env` would do the
same but also look into ~/.netrc, on a thread, for each call, and add a password found there to the request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

import aiohttp

from bookinfo.common.propagation import without_traces

ANSWER_LIMIT_BYTES = 1 << 20
# aiohttp rounds timeouts above this up to a whole second; a learner's stopwatch should not see that.
_ROUNDING_THRESHOLD_S = 3600


class Answer(NamedTuple):
    """What came of a call. `status` is None when there was no HTTP answer; `body` is None when it was not JSON."""

    status: int | None
    body: Any
    problem: str = ""

    @property
    def ok(self) -> bool:
        """A 200 whose body is JSON."""
        return self.status == 200 and self.body is not None


class Client:
    """Makes each call on a connection of its own, so that no call is bound to an earlier one's choice of endpoint.

    Make and close it inside a running event loop. Not `traced`, it drops the headers that hold traces together.
    """

    def __init__(self, traced: bool = True) -> None:
        self._traced = traced
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            # The caller's cookies are passed on as they are; none are kept from one caller's answer to the next call.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._proxies = getproxies_environment()

    def proxy_for(self, url: str) -> str | None:
        """The proxy to use for a URL, or None."""
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme)
        if proxy is None or proxy_bypass_environment(parts.netloc, self._proxies):
            return None
        return proxy

    async def get_json(self, url: str, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """GET `url` and read a JSON answer of at most ANSWER_LIMIT_BYTES, all within `timeout_s`."""
        if not self._traced:
            headers = without_traces(headers)
        timeout = aiohttp.ClientTimeout(total=timeout_s, ceil_threshold=_ROUNDING_THRESHOLD_S)
        try:
            async with self._session.get(
                url, headers=headers, timeout=timeout, proxy=self.proxy_for(url), allow_redirects=False
            ) as response:
                return Answer(response.status, _parse(await _read(response)))
        except TimeoutError:
            return Answer(None, None, f"no answer within {timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, None, str(error) or type(error).__name__)

    async def close(self) -> None:
        """Drop all connections."""
        await self._session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises ValueError above the limit."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > ANSWER_LIMIT_BYTES:
            raise ValueError(f"the answer is longer than {ANSWER_LIMIT_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
