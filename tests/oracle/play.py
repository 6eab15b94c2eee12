"""Plays one case on one proxy: sends its requests, and keeps what can be compared."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any

from tests.oracle.backends import Hit
from tests.oracle.client import Answer, Connection, Headers
from tests.oracle.mesh import Mesh
from tests.oracle.table import Ask, Case, echo_of

#: As long as each other, so that lengths stay the same.
TAGS = {"python": "py", "envoy": "en"}
#: Values that may differ from one run to the next.
VARYING = {"date", "x-request-id", "x-envoy-upstream-service-time"}
_OWN = re.compile(r"\.(py|en)\b|(?<=127\.44\.)[1-4](?=\.[12])")


class Player:
    """A case's client at one proxy."""

    def __init__(self, mesh: Mesh, case: Case, proxy: str) -> None:
        self.mesh = mesh
        self.case = case
        self.proxy = proxy
        self.agents: list[str] = []

    def agent(self) -> str:
        """The user-agent of a new request; logs and backends tell requests apart by it."""
        self.agents.append(f"{self.case.name}.{len(self.agents)}.{TAGS[self.proxy]}")
        return self.agents[-1]

    async def connect(self, port: int = 8080, source: str | None = None) -> Connection:
        """A connection of its own. A gateway's new listener may open a moment after it was acknowledged."""
        for _ in range(40):
            try:
                return await Connection.open(self.mesh.address(self.case.via, self.proxy, port), source)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
        raise AssertionError(f"{self.proxy} does not listen on {port}")

    async def send(self, one: Ask, connection: Connection | None = None, agent: str = "") -> Answer:
        """One request, on a connection of its own unless given one."""
        mine = connection or await self.connect(one.port)
        try:
            mine.send(one.head(agent or self.agent(), self.case.via) + one.body)
            return await mine.answer(one.method)
        finally:
            if connection is None:
                mine.close()

    async def many(self, asks: Iterable[Ask]) -> list[Answer]:
        """Requests in turn on one kept-alive connection."""
        connection = await self.connect()
        try:
            return [await self.send(one, connection) for one in asks]
        finally:
            connection.close()

    async def at_once(self, asks: Iterable[Ask]) -> list[Answer]:
        """Requests on connections of their own, all at the same time."""
        return list(await asyncio.gather(*(self.send(one) for one in asks)))

    def hits(self, agent: str | None = None) -> list[Hit]:
        """What reached the backends for the last request, or for a named one."""
        return self.mesh.record.hits.get(agent or self.agents[-1], [])

    async def hits_of(self, count: int, agent: str | None = None) -> list[Hit]:
        """As `hits`, once there are so many of them; copies may come after the answer."""
        for _ in range(40):
            if len(self.hits(agent)) >= count:
                break
            await asyncio.sleep(0.025)
        return self.hits(agent)

    async def all_asks(self) -> dict[str, Any]:
        """The case's requests in turn, checked, as {"answers": …, "hits": …}."""
        answers, hits = [], []
        for one in self.case.asks:
            answer = await self.send(one)
            reached = await self.hits_of(one.hits) if one.hits is not None else self.hits()
            self.check(one, answer, reached)
            answers.append(comparable(answer, with_by=one.by is not None))
            hits.append(len(reached))
        return {"answers": answers, "hits": hits}

    def check(self, one: Ask, answer: Answer, reached: list[Hit]) -> None:
        """What the table says of the answer, on this proxy."""
        where = f"{self.proxy}: {one.method} {one.url}: {answer}"
        echo = echo_of(answer) or {}
        if one.status is not None:
            assert answer.status == one.status, where
        if one.by is not None:
            assert echo.get("by") == one.by, where
        if one.line is not None:
            assert echo.get("line") == one.line, where
        if one.text is not None:
            assert answer.body.decode() == one.text, where
        for name, value in one.seen.items():
            found = [v for n, v in echo.get("headers", ()) if n.lower() == name]
            assert (",".join(found) if found else None) == value, f"{name} seen by the backend; {where}"
        for name, value in one.gives.items():
            assert answer.get(name) == value, f"{name} of the answer; {where}"
        if one.hits is not None:
            assert len(reached) == one.hits, f"{len(reached)} requests reached backends; {where}"
        if one.within_s is not None:
            assert one.within_s[0] <= answer.seconds <= one.within_s[1], where


def comparable(answer: Answer, with_by: bool = False) -> dict[str, Any]:
    """An answer as plain data, without what may differ."""
    echo = echo_of(answer)
    body: Any = own(answer.body.decode("latin-1")) if len(answer.body) < 5000 else len(answer.body)
    if echo is not None:
        body = {**json.loads(own(json.dumps(echo))), "headers": plain(echo["headers"], echo=True)}
        if not with_by:
            body.pop("by")
    return {
        "status": answer.status,
        "protocol": answer.protocol,
        "headers": plain(answer.headers, echo=echo is not None),
        "body": body,
        "trailers": answer.trailers,
        "interim": answer.interim,
        "cut": answer.cut,
    }


def plain(headers: Iterable[Any] | Headers, echo: bool = False) -> list[tuple[str, str]]:
    """Headers in order of name, the varying values masked, the proxy's own addresses too."""
    masked = VARYING | ({"content-length"} if echo else set())
    return sorted((name, "*" if name.lower() in masked else own(value)) for name, value in map(_without_self, headers))


def _without_self(header: tuple[str, str]) -> tuple[str, str]:
    """For a client on the loopback, Envoy forwards an address of the machine's own: the last one is left out."""
    name, value = header
    return (name, value.rpartition(",")[0] + ",*") if name.lower() == "x-forwarded-for" else (name, value)


def own(text: str) -> str:
    """The text without what tells the two proxies apart."""
    return _OWN.sub("*", text)
