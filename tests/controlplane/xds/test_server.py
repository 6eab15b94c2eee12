"""The server over real gRPC: both variants, side by side with the resources' REST API."""

import asyncio
from dataclasses import replace

import grpc.aio
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from controlplane.xds.codec import DeltaCodec
from controlplane.xds.connection import Push
from controlplane.xds.distribution import follow
from controlplane.xds.observer import XdsObserver
from controlplane.xds.server import AdsServer, PortTaken
from controlplane.xds.status import StatusBoard
from controlplane.xds.type_urls import CDS, EDS, LDS, NDS, PUSH_ORDER, RDS, WDS
from tests.controlplane.plane import AdsClient, NamesClient, node
from tests.controlplane.xds.fakes import FakeMesh, FakeTranslator, until

HOST = "127.31.8.2"
# What a proxy asks for; names are its agent's business.
CONFIGURED = {CDS: "SYNCED", EDS: "SYNCED", LDS: "SYNCED", RDS: "SYNCED", NDS: "NOT SENT", WDS: "NOT SENT"}
MESH = FakeMesh(
    clusters={"v1": "1", "v2": "1"},
    endpoints={"v1": "1", "v2": "1"},
    listeners={"out": "web"},
    routes={"web": "to v1 and v2"},
)


class Server:
    """An AdsServer over a FakeMesh that tests change."""

    def __init__(self) -> None:
        import time

        self.board = StatusBoard(time.monotonic, time.time)
        self.board.written(1)
        self.current = Push(MESH, 1, frozenset(PUSH_ORDER), 0.0, 0.0)
        self.ads = AdsServer(FakeTranslator(), lambda: self.current, self.board, XdsObserver(), time.monotonic)
        self.port = 0

    async def start(self) -> "Server":
        self.port = await self.ads.start(HOST, 0)
        return self

    @property
    def target(self) -> str:
        return f"{HOST}:{self.port}"

    def push(self, **changes) -> int:
        mesh = FakeMesh(**{**self.current.snapshot.__dict__, **changes})
        revision = self.current.revision + 1
        self.board.written(revision)
        self.current = Push(mesh, revision, frozenset(PUSH_ORDER), 0.0, 0.0)
        self.ads.push(self.current)
        return revision

    async def spread(self, revision: int, seconds: float = 5.0) -> list[dict]:
        return [line async for batch in follow(self.board, revision, seconds) for line in batch]


@pytest.fixture
async def server():
    s = await Server().start()
    yield s
    await s.ads.stop(0)


@pytest.fixture(params=[False, True], ids=["sotw", "delta"])
def delta(request) -> bool:
    return request.param


def client(server: Server, delta: bool, name: str = "web-v1") -> AdsClient:
    return AdsClient(server.target, node(name, "127.31.9.1"), delta)


def synced(server: Server, count: int = 1):
    def check() -> bool:
        current = server.board.current().values()
        return len(current) == count and all(s.summaries() == CONFIGURED for s in current)

    return check


async def test_a_client_gets_all_it_asks_for_and_is_synced(server, delta):
    async with client(server, delta) as c:
        await until(synced(server))
        assert {t: set(r) for t, r in c.resources.items()} == {
            CDS: {"v1", "v2"},
            EDS: {"v1", "v2"},
            LDS: {"out"},
            RDS: {"web"},
        }


async def test_a_change_reaches_every_client_and_is_told(server, delta):
    async with client(server, delta) as a, client(server, delta, "other-v1"):
        await until(synced(server, 2))
        a.received.clear()
        lines = await server.spread(server.push(routes={"web": "elsewhere"}))
        assert a.received == [(RDS, ["web"], [])]
        assert lines[0] == {"revision": 2, "proxies": ["other-v1.default", "web-v1.default"]}
        assert {(line["proxy"], line["state"]) for line in lines[1:-1]} == {
            ("web-v1.default", "ACKED"),
            ("other-v1.default", "ACKED"),
        }
        assert lines[1]["types"] == ["RDS"] and lines[1]["ms"] >= 0
        assert lines[-1]["done"] and lines[-1]["acked"] == 2 and lines[-1]["pending"] == []


async def test_unaffected_proxies_are_told_so(server, delta):
    async with client(server, delta):
        await until(synced(server))
        lines = await server.spread(server.push())
        assert [line["state"] for line in lines[1:-1]] == ["UNAFFECTED"]


async def test_a_rejection_is_told_with_its_text(server, delta):
    async with client(server, delta) as c:
        await until(synced(server))
        c.refuse[RDS] = "route v9 is not known"
        lines = await server.spread(server.push(routes={"web": "bad"}))
        assert lines[1]["state"] == "NACKED" and lines[1]["error"] == "RDS: route v9 is not known"
        assert lines[-1]["nacked"] == 1
        (status,) = server.board.current().values()
        assert status.summaries()[RDS] == "NACKED" and status.errors() == {"RDS": "route v9 is not known"}


async def test_without_proxies_a_distribution_ends_at_once(server):
    lines = await server.spread(server.push(routes={"web": "x"}))
    assert [line.get("done") for line in lines] == [None, True]
    assert lines[0]["proxies"] == []


async def test_a_proxy_that_leaves_is_told_as_disconnected(server, delta):
    async with client(server, delta) as c:
        await until(synced(server))
        (connection,) = server.ads.connections.values()
        connection._is_overloaded = lambda: True
        spreading = asyncio.create_task(server.spread(server.push(routes={"web": "x"})))
        await asyncio.sleep(0.01)
        await c.__aexit__()
        lines = await spreading
        assert lines[1]["state"] == "DISCONNECTED" and lines[-1]["disconnected"] == 1


async def test_a_proxy_that_does_not_answer_is_pending(server, delta):
    async with client(server, delta):
        await until(synced(server))
        (connection,) = server.ads.connections.values()
        connection._is_overloaded = lambda: True
        lines = await server.spread(server.push(routes={"web": "x"}), seconds=0.05)
        assert lines[1]["state"] == "PENDING" and lines[-1]["pending"] == ["web-v1.default"]


async def test_a_slow_proxy_delays_nobody(server, delta):
    async with client(server, delta), client(server, delta, "slow-v1"):
        await until(synced(server, 2))
        stuck = asyncio.Event()
        slow = next(c for c in server.ads.connections.values() if c.status.proxy_id == "slow-v1.default")
        slow._write = lambda _: stuck.wait()
        lines = await server.spread(server.push(routes={"web": "x"}), seconds=0.2)
        assert {line["proxy"]: line["state"] for line in lines[1:-1]} == {
            "web-v1.default": "ACKED",
            "slow-v1.default": "PENDING",
        }
        stuck.set()


async def test_clusters_go_after_the_routes_that_named_them(server, delta):
    async with client(server, delta) as c:
        await until(synced(server))
        c.received.clear()
        await server.spread(server.push(clusters={"v1": "1"}, endpoints={"v1": "1"}, routes={"web": "v1"}))
        assert [t for t, _, _ in c.received if t != EDS] == [RDS, CDS]
        assert set(c.resources[CDS]) == {"v1"}


async def test_new_clusters_come_with_their_endpoints_before_routes(server, delta):
    async with client(server, delta) as c:
        await until(synced(server))
        c.received.clear()
        revision = server.push(
            clusters={"v1": "1", "v2": "1", "v3": "1"},
            endpoints={"v1": "1", "v2": "1", "v3": "1"},
            routes={"web": "v3"},
        )
        lines = await server.spread(revision)
        assert lines[1]["state"] == "ACKED" and "v3" in c.resources[EDS]
        assert c.received[0][0] == CDS


async def test_reconnecting_with_versions_spares_what_is_unchanged(server):
    async with client(server, True) as c:
        await until(synced(server))
        before = c.resources
    again = client(server, True)
    again.resources = before
    async with again:
        await until(lambda: len(again.received) >= 2)
        assert {(t, tuple(sent), tuple(gone)) for t, sent, gone in again.received} == {(CDS, (), ()), (LDS, (), ())}
        await until(lambda: server.board.current()["web-v1.default"].summaries()[LDS] == "SYNCED")


async def test_a_node_that_does_not_say_who_it_is_is_refused(server):
    async with grpc.aio.insecure_channel(server.target) as channel:
        stream = AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
        await stream.write(DiscoveryRequest(node=Node(id="nobody"), type_url=CDS))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stream.read()
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "nobody" in error.value.details()


async def test_the_newest_stream_of_a_proxy_counts(server, delta):
    async with client(server, delta), client(server, delta):
        await until(lambda: len(server.board.connections) == 2)
        assert list(server.board.current()) == ["web-v1.default"]


async def test_a_taken_port_is_told(server):
    import time

    other = AdsServer(FakeTranslator(), lambda: server.current, server.board, XdsObserver(), time.monotonic)
    with pytest.raises(PortTaken):
        await other.start(HOST, server.port)


def test_the_delta_codec_is_named():
    assert DeltaCodec.name == "delta" and DeltaCodec.delta


async def test_an_agents_stream_for_names_stands_beside_its_proxys(server, delta):
    server.current = Push(replace(MESH, names={"a.example": "10.0.0.1"}), 1, frozenset(PUSH_ORDER), 0.0, 0.0)
    async with client(server, delta) as c, NamesClient(server.target, node("web-v1", "127.31.9.1"), delta) as agent:
        await until(synced(server))
        await until(lambda: agent.received == [(NDS, ["a.example"], [])])
        assert server.board.current()["web-v1.default"].names_only is False
        names = server.board.names_streams()["web-v1.default"]
        await until(lambda: names.summaries()[NDS] == "SYNCED")
        # One revision that only the agent gets, and one that neither does.
        both = await server.spread(server.push(names={"b.example": "10.0.0.2"}))
        assert [line["types"] for line in both if line.get("proxy")] == [["NDS"]] and both[-1]["acked"] == 1
        neither = await server.spread(server.push())
        assert neither[-1]["unaffected"] == 1
        assert len(agent.received) == 2, "an unchanged table is not sent again"
        agent.refuse[NDS] = "no such address"
        refused = await server.spread(server.push(names={"c.example": "x"}))
        assert refused[-1]["nacked"] == 1 and refused[1]["error"] == "NDS: no such address"
        assert [kind for kind, *_ in c.received].count(NDS) == 0
