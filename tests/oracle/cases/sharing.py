"""Which backend gets a request: weights, subsets, balancing, hashing, limits, ejection, mirrors, other services."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.e2e.splits import check_split
from tests.oracle.cases.changing import rule
from tests.oracle.client import Answer
from tests.oracle.play import Player
from tests.oracle.table import SUBSETS, V1, Ask, Case, ask, destination_rule, echo_of, virtual_service

RING = ("r1", "r2", "r3", "r4", "r5")


def by(answer: Answer) -> str:
    """The backend's name, else the status."""
    return (echo_of(answer) or {}).get("by") or str(answer.status)


def shares(expected: dict[str, float], n: int = 500, host: str = "app:9000") -> Any:
    """A probe: n requests fall as expected."""

    async def probe(player: Player) -> None:
        check_split(dict(Counter(map(by, await player.many(ask(host=host) for _ in range(n))))), expected)

    return probe


def roughly_even(spread: int) -> Any:
    """A probe: 250 requests to five endpoints, none farther from 50 than `spread`."""

    async def probe(player: Player) -> None:
        counts = Counter(map(by, await player.many(ask(host="ring:9000") for _ in range(250))))
        assert set(counts) == set(RING), counts
        assert max(abs(n - 50) for n in counts.values()) <= spread, counts

    return probe


def sticky(make: Any) -> Any:
    """A probe: each key meets one backend at every try; which one is compared between the proxies."""

    async def probe(player: Player) -> dict[int, str]:
        found: dict[int, str] = {}
        for key in range(24):
            met = set(map(by, await player.many([make(key)] * 3)))
            assert len(met) == 1, (key, met)
            found[key] = met.pop()
        assert len(set(found.values())) > 2, found
        return found

    return probe


def hashed(how: str, host: str = "ring") -> str:
    return destination_rule(f"{{loadBalancer: {{consistentHash: {{{how}}}}}}}", host, "")


async def cookie_given(player: Player) -> dict[str, Any]:
    """The proxy makes a cookie for who has none, and honours it after that."""
    first = await player.send(ask(host="ring:9000"))
    cookie = first.get("set-cookie") or ""
    pair = cookie.split(";")[0]
    met = set(map(by, await player.many([ask(host="ring:9000", h={"cookie": "z=1; " + pair})] * 5)))
    assert met == {by(first)}, (met, first)
    again = await player.send(ask(host="ring:9000", h={"cookie": pair}))
    name, _, value = pair.partition("=")
    return {"attributes": cookie.split(";")[1:], "name": name, "quoted": value[:1], "again": again.get("set-cookie")}


async def by_source(player: Player) -> dict[str, str]:
    """From one address always the same backend."""
    found = {}
    for n in range(1, 13):
        connection = await player.connect(source=f"127.44.5.{n}")
        met = {by(await player.send(ask(host="ring:9000"), connection)) for _ in range(3)}
        connection.close()
        assert len(met) == 1, met
        found[str(n)] = met.pop()
    return found


async def overflow(player: Player) -> dict[str, Any]:
    """One connection, one waiting: most of six at a time are turned away (how many depends on when it connects)."""
    answers = await player.at_once([ask(do="delay=0.4")] * 6)
    served = sum(answer.status == 200 for answer in answers)
    assert 1 <= served <= 3, (player.proxy, answers)
    refused = {(a.status, a.get("x-envoy-overloaded"), a.body.decode()) for a in answers if a.status != 200}
    assert len(refused) == 1, refused
    return {"refused": refused}


async def connections_of(player: Player, n: int = 6, pause_s: float = 0.0) -> list[int]:
    """Which of the backend's connections each request came on, as 0, 1, … in order of appearance."""
    order: list[int] = []
    for _ in range(n):
        await player.send(ask(by="v1"))
        number = player.hits()[0].connection
        if number not in order:
            order.append(number)
        await asyncio.sleep(pause_s)
    return [len(order)]


async def idle(player: Player) -> list[int]:
    return await connections_of(player, 3, 0.45)


async def ejected(player: Player) -> dict[str, Any]:
    """r1 fails thrice in a row and is asked no more, until its time is over."""
    seen: Counter[str] = Counter()
    for _ in range(60):
        seen[by(await player.send(ask(host="ring:9000", do="r1:status=503", status=None)))] += 1
    assert seen["r1"] == 3, seen
    before = [by(await player.send(ask(host="ring:9000"))) for _ in range(30)]
    assert "r1" not in before
    return {"met": sorted(set(before))}


async def mirrored(player: Player) -> list[Any]:
    """Copies go to v2, answers come from v1."""
    out = []
    for one in (ask("/m?x=1"), ask("/m", method="POST", body=b"copied"), ask("/m", do="v2:status=500")):
        answer = await player.send(one)
        assert by(answer) == "v1", answer
        hits = await player.hits_of(2)
        assert sorted(hit.by for hit in hits) == ["v1", "v2"], hits
        copy = next(hit for hit in hits if hit.by == "v2")
        names = sorted((k, v) for k, v in copy.headers if k not in ("x-request-id", "user-agent", "x-do"))
        out.append((copy.line, [(k, v if k != "x-forwarded-for" else "*") for k, v in names]))
    return out


def mirrored_share(share: float) -> Any:
    async def probe(player: Player) -> None:
        await player.many([ask()] * 300)
        await asyncio.sleep(0.3)
        copies = sum(any(hit.by == "v2" for hit in player.hits(agent)) for agent in player.agents)
        check_split({"copied": copies, "not": 300 - copies}, {"copied": share, "not": 1 - share})

    return probe


def weighted(a: int, b: int) -> str:
    return SUBSETS + rule(
        f"route: [{{destination: {{host: app, subset: v1}}, weight: {a}}},"
        f" {{destination: {{host: app, subset: v2}}, weight: {b}}}]"
    )


def entry(host: str, endpoint: str, resolution: str, ports: str, more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside}}
spec:
  hosts: [{host}]
  ports: [{ports}]
  resolution: {resolution}
  location: MESH_EXTERNAL
  {endpoint}
  {more}
---
"""


HTTP_80 = "{number: 80, name: http, protocol: HTTP, targetPort: 9000}"
LIMITS = "{tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}"
OUTLIER = "{consecutive5xxErrors: 3, interval: 100ms, baseEjectionTime: 60s, maxEjectionPercent: 100}"
POOL = "{{connectionPool: {}}}"
EXTERNAL = entry("ext.example", "endpoints: [{address: OUTSIDE}]", "STATIC", HTTP_80)
ONE = (ask(by="v1", host="app:9000"),)


def to_ring(headers: dict[str, str] | None = None, path: str = "/") -> Ask:
    return ask(path, host="ring:9000", h=headers or {})


CASES = (
    Case("weights-90-10", weighted(90, 10), probe=shares({"v1": 0.9, "v2": 0.1})),
    Case("weights-50-50", weighted(50, 50), probe=shares({"v1": 0.5, "v2": 0.5})),
    Case("weights-100-0", weighted(100, 0), probe=shares({"v1": 1.0}, 60)),
    Case("weights-7-3", weighted(7, 3), probe=shares({"v1": 0.7, "v2": 0.3})),
    Case("subset-without-rule", rule("route: [{destination: {host: app, subset: v9}}]"),
         (ask(status=503, text="", log="503 NC cluster_not_found"),)),
    Case("subset-without-endpoints", destination_rule("", "app", "v1, v7") + rule(
        "route: [{destination: {host: app, subset: v7}}]"), (ask(status=503, log="503 UH no_healthy_upstream"),)),
    Case("service-without-endpoints", asks=(
        ask(host="empty:9000", status=503, text="no healthy upstream", log="503 UH no_healthy_upstream"),)),
    Case("destination-unknown", rule("route: [{destination: {host: nobody}}]"),
         (ask(status=503, log="503 NC cluster_not_found"),)),
    Case("destination-unknown-among-known", rule(
        "route: [{destination: {host: nobody}, weight: 0}, {destination: {host: app}, weight: 100}]"), (ask(),)),
    Case("dead-host", asks=(ask(host="dead:9000", status=503, log="503 URX,UF"),)),
    Case("round-robin", destination_rule("{loadBalancer: {simple: ROUND_ROBIN}}", "ring", ""), probe=roughly_even(1)),
    Case("least-request", destination_rule("{loadBalancer: {simple: LEAST_REQUEST}}", "ring", ""),
         probe=roughly_even(28)),
    Case("random", destination_rule("{loadBalancer: {simple: RANDOM}}", "ring", ""), probe=roughly_even(28)),
    Case("hash-header", hashed("httpHeaderName: x-user"), probe=sticky(lambda n: to_ring({"x-user": f"u{n}"}))),
    Case("hash-header-maglev", hashed("httpHeaderName: x-user, maglev: {tableSize: 1009}"),
         probe=sticky(lambda n: to_ring({"x-user": f"u{n}"}))),
    Case("hash-ring-size", hashed("httpHeaderName: x-user, ringHash: {minimumRingSize: 64}"),
         probe=sticky(lambda n: to_ring({"x-user": f"u{n}"}))),
    Case("hash-query", hashed("httpQueryParameterName: q"), probe=sticky(lambda n: to_ring(path=f"/?a=1&q=u{n}"))),
    Case("hash-cookie", hashed("httpCookie: {name: who, ttl: 0s}"),
         probe=sticky(lambda n: to_ring({"cookie": f"a=b; who=u{n}"}))),
    Case("hash-cookie-made", hashed("httpCookie: {name: who, path: /p, ttl: 60s}"), probe=cookie_given),
    Case("hash-cookie-of-session", hashed("httpCookie: {name: who, ttl: 0s}"), probe=cookie_given),
    Case("hash-source-ip", hashed("useSourceIp: true"), probe=by_source),
    Case("overflow", destination_rule(POOL.format(LIMITS)), probe=overflow),
    Case("connections-kept", SUBSETS + rule(V1), probe=connections_of),
    Case("one-request-a-connection", destination_rule(POOL.format("{http: {maxRequestsPerConnection: 1}}")) + rule(V1),
         probe=connections_of),
    Case("two-requests-a-connection", destination_rule(POOL.format("{http: {maxRequestsPerConnection: 2}}"))
         + rule(V1), probe=connections_of),
    Case("idle-connections-close", destination_rule(POOL.format("{http: {idleTimeout: 150ms}}")) + rule(V1),
         probe=idle),
    Case("ejection", destination_rule(f"{{loadBalancer: {{simple: ROUND_ROBIN}}, outlierDetection: {OUTLIER}}}", "ring",
                                      ""), probe=ejected),
    Case("mirror", SUBSETS + rule(f"{V1}\n  mirror: {{host: app, subset: v2}}"), probe=mirrored),
    Case("mirrors", SUBSETS + rule(f"{V1}\n  mirrors: [{{destination: {{host: app, subset: v2}}}}]"), probe=mirrored),
    Case("mirror-share", SUBSETS + rule(
        f"{V1}\n  mirror: {{host: app, subset: v2}}\n  mirrorPercentage: {{value: 30}}"), probe=mirrored_share(0.3)),
    Case("mirror-to-nobody", SUBSETS + rule(f"{V1}\n  mirror: {{host: empty}}"), ONE),
    Case("service-entry-static", EXTERNAL, (
        ask("/x", host="ext.example", by="outside", line="GET /x HTTP/1.1"),
        ask("/x", host="ext.example:80", by="outside"),
        ask(host="other.example", status=502),
    )),
    Case("service-entry-dns", entry("dns.example", "endpoints: [{address: localhost, ports: {http: OUTSIDE_PORT}}]",
                                    "DNS", HTTP_80), (ask("/x", host="dns.example", by="local"),)),
    Case("service-entry-with-rule", EXTERNAL + virtual_service(
        "- timeout: 0.1s\n  route: [{destination: {host: ext.example}}]", "ext.example", "ext"),
        (ask(host="ext.example", by="outside"), ask(host="ext.example", do="delay=0.5", status=504))),
    Case("service-entry-wildcard", entry("'*.wild.example'", "endpoints: [{address: OUTSIDE}]", "STATIC", HTTP_80), (
        ask(host="a.wild.example", by="outside"), ask(host="b.A.wild.example:80", by="outside"),
        ask(host="wild.example", status=502),
    )),
)  # fmt: skip
