"""One stream: order, make before break, merging, and what is recorded of it."""

import asyncio

import pytest

from controlplane.xds.codec import DeltaCodec, SotwCodec
from controlplane.xds.connection import OUTSTANDING_LIMIT, UNANSWERED_LIMIT, AsksTooMuch
from controlplane.xds.status import State
from controlplane.xds.type_urls import CDS, EDS, LDS, RDS
from tests.controlplane.xds.fakes import FakeMesh, until
from tests.controlplane.xds.peer import MESH, Peer, replaced, shown


@pytest.fixture(params=[SotwCodec, DeltaCodec], ids=["sotw", "delta"])
async def peer(request):
    p = Peer(request.param())
    worker = asyncio.create_task(p.connection.run())
    yield p
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


async def test_pushes_go_out_in_order_and_only_what_changed(peer):
    await peer.boot()
    peer.push(
        FakeMesh(
            clusters={"v1": "2", "v2": "2"},
            endpoints={"v1": "2", "v2": "2"},
            listeners={"out": "web", "in": "web"},
            routes={"web": "changed"},
        )
    )
    assert [kind for kind, _ in shown(await peer.settle())] == ["CDS", "EDS", "LDS", "RDS"]
    peer.push(replaced(clusters={"v1": "2", "v2": "2"}), types=())
    assert await peer.settle() == []


async def test_an_unchanged_set_is_not_pushed_and_counts_as_unaffected(peer):
    await peer.boot()
    peer.push(MESH)
    assert await peer.settle() == []
    assert peer.status.outcome(2).state is State.UNAFFECTED


async def test_a_removed_cluster_goes_after_the_routes_are_acknowledged(peer):
    await peer.boot()
    peer.push(FakeMesh({"v1": "1"}, {"v1": "1", "v2": "1"}, {"out": "web"}, {"web": "to v1 alone"}))
    first = await peer.settle()
    assert shown(first) == [("RDS", ["web"])]
    assert peer.status.outcome(2) is None
    await peer.ack(first)
    second = await peer.settle()
    assert [r.type_url for r in second] == [CDS]
    if peer.codec.delta:
        assert list(second[0].removed_resources) == ["v2"]
    else:
        assert shown(second) == [("CDS", ["v1"])]
    assert peer.status.outcome(2) is None
    await peer.ack(second)
    await peer.settle()
    assert peer.status.outcome(2).state is State.ACKED
    assert peer.status.outcome(2).types == ("RDS", "CDS")


async def test_additions_go_first_while_removals_wait(peer):
    await peer.boot()
    peer.push(FakeMesh({"v1": "1", "v3": "1"}, {"v1": "1", "v3": "1"}, {"out": "web"}, {"web": "to v3"}))
    first = await peer.settle()
    clusters = shown(first)[0]
    assert clusters == ("CDS", ["v3"] if peer.codec.delta else ["v1", "v2", "v3"])
    await peer.ack(first)
    last = (await peer.settle())[-1]
    if peer.codec.delta:
        assert last.type_url == CDS and list(last.removed_resources) == ["v2"]
    else:
        assert shown([last]) == [("CDS", ["v1", "v3"])]


async def test_a_rejected_route_keeps_its_clusters(peer):
    await peer.boot()
    peer.push(FakeMesh({"v1": "1"}, {"v1": "1"}, {"out": "web"}, {"web": "bad"}))
    first = await peer.settle()
    await peer.ack([r for r in first if r.type_url == RDS], error="no such thing")
    assert [r for r in await peer.settle() if r.type_url == CDS] == []
    assert peer.status.outcome(2).state is State.NACKED
    assert peer.status.outcome(2).error == "RDS: no such thing"
    peer.push(FakeMesh({"v1": "1"}, {"v1": "1"}, {"out": "web"}, {"web": "good"}))
    await peer.ack(await peer.settle())
    assert [r.type_url for r in await peer.settle()] == [CDS]


async def test_an_unused_cluster_goes_at_once(peer):
    await peer.boot()
    peer.push(replaced(clusters={"v1": "1"}))
    assert [r.type_url for r in await peer.settle()] == [CDS]


async def test_a_changed_cluster_gets_its_endpoints_again(peer):
    await peer.boot()
    peer.push(replaced(clusters={"v1": "changed", "v2": "1"}), types={CDS})
    assert shown(await peer.settle())[1:] == [("EDS", ["v1"])]


async def test_a_push_waits_for_the_endpoints_of_its_new_clusters(peer):
    await peer.boot()
    peer.push(replaced(clusters={**MESH.clusters, "v3": "1"}, endpoints={**MESH.endpoints, "v3": "1"}))
    await peer.take()
    assert peer.status.outcome(2) is None
    await peer.ask_also(EDS, "v3")
    sent = await peer.settle()
    assert shown(sent) == [("EDS", ["v3"])]
    await peer.ack(sent)
    await peer.settle()
    assert peer.status.outcome(2).state is State.ACKED


async def test_a_push_waits_for_the_routes_of_its_new_listeners(peer):
    await peer.boot()
    peer.push(replaced(listeners={"out": "web", "gw": "http.80"}, routes={"web": "to v1 and v2", "http.80": "r"}))
    await peer.take()
    assert peer.status.outcome(2) is None
    await peer.ask_also(RDS, "http.80")
    await peer.take()
    assert peer.status.outcome(2).state is State.ACKED


GATEWAY = replaced(listeners={"out": "web", "gw": "http.80"}, routes={**MESH.routes, "http.80": "none yet"})


async def test_a_later_push_waits_for_the_routes_of_listeners_before_it(peer):
    await peer.boot()
    peer.push(GATEWAY)
    await peer.ack(await peer.settle())
    peer.push(replaced(listeners=GATEWAY.listeners, routes={**MESH.routes, "http.80": "a rule"}), types={RDS})
    assert await peer.settle() == [], "nobody has asked for it"
    assert peer.status.outcome(3) is None, "the rule is not there yet"
    await peer.ask_also(RDS, "http.80")
    await peer.take()
    assert [peer.status.outcome(revision).state for revision in (2, 3)] == [State.ACKED, State.ACKED]


async def test_a_push_waits_for_routes_that_are_let_go_and_asked_for_again(peer):
    """A listener that goes and comes back at once: the client lets go of its routes when the second is on its way."""
    await peer.boot()
    peer.push(replaced(listeners={}))
    gone = await peer.settle()
    peer.push(MESH)
    back = await peer.settle()
    assert (shown(gone)[0], shown(back)[0]) == (("LDS", []), ("LDS", ["out"]))
    await peer.ack(gone)
    if peer.codec.delta:
        await peer.request(RDS, resource_names_unsubscribe=["web"])
    else:
        await peer.request(RDS, nonce=peer.connection.subscriptions[RDS].nonce_sent)
    await peer.settle()
    await peer.ack(back)
    await peer.settle()
    assert peer.status.outcome(3) is None, "the listener has no routes yet"
    await peer.ask_also(RDS, "web")
    sent = await peer.settle()
    assert shown(sent) == [("RDS", ["web"])]
    await peer.ack(sent)
    await peer.settle()
    assert peer.status.outcome(3).state is State.ACKED


async def test_routes_of_a_listener_that_is_gone_again_are_not_waited_for(peer):
    await peer.boot()
    peer.push(GATEWAY)
    await peer.settle()
    peer.push(MESH)
    await peer.take()
    assert [peer.status.outcome(revision).state for revision in (2, 3)] == [State.ACKED, State.ACKED]


async def test_routes_of_a_rejected_listener_are_not_waited_for(peer):
    await peer.boot()
    peer.push(GATEWAY)
    (sent,) = await peer.settle()
    peer.push(GATEWAY, types={RDS})
    await peer.settle()
    await peer.ack([sent], error="no")
    await peer.settle()
    assert [peer.status.outcome(revision).state for revision in (2, 3)] == [State.NACKED, State.UNAFFECTED]


async def test_pushes_merge_while_the_proxy_is_slow(peer):
    await peer.boot()
    peer.blocked = asyncio.Event()
    for n in range(2, 30):
        peer.push(replaced(routes={"web": f"version {n}"}), types={RDS})
        await asyncio.sleep(0)
    assert len(await peer.settle()) == 1
    peer.blocked.set()
    assert len(await peer.settle()) == 1
    assert peer.status.latest_revision == 29


async def test_a_proxy_that_never_answers_gets_a_bounded_number_of_responses(peer):
    await peer.boot()
    sent = []
    for n in range(OUTSTANDING_LIMIT + 10):
        peer.push(replaced(routes={"web": f"version {n}"}), types={RDS})
        sent += await peer.settle()
    assert len(sent) == OUTSTANDING_LIMIT
    await peer.ack(sent[-1:])
    assert len(await peer.settle()) == 1


async def test_a_client_that_asks_again_and_again_without_answering_is_ended():
    peer = Peer()
    worker = asyncio.create_task(peer.connection.run())
    for _ in range(UNANSWERED_LIMIT):
        await peer.request(CDS)
        await peer.settle()
    assert not worker.done()
    await peer.request(CDS)
    await peer.settle()
    with pytest.raises(AsksTooMuch, match="CDS: 256 responses have no ACK or NACK"):
        await worker


async def test_a_translation_that_raises_leaves_the_stream_up_and_is_told(peer, caplog):
    await peer.boot()
    peer.translator.broken.add(RDS)
    peer.push(replaced(routes={"web": "x"}, listeners={"out": "web", "more": "web"}))
    assert [r.type_url for r in await peer.settle()] == [LDS]
    outcome = peer.status.outcome(2)
    assert outcome.state is State.NACKED and "could not translate" in outcome.error
    assert peer.status.summaries()[RDS] == "STALE"
    assert "RDS" in peer.status.errors()
    peer.translator.broken.clear()
    peer.push(replaced(routes={"web": "y"}))
    assert RDS in [r.type_url for r in await peer.settle()]
    assert "RDS" not in peer.status.errors()


async def test_an_answer_to_a_request_does_not_overtake_a_push(peer):
    """The routes of revision 2 must not go out before its clusters, even when the client asks in between."""
    await peer.request(CDS)
    await peer.ack(await peer.settle())
    await peer.request(RDS, "web")
    peer.push(replaced(clusters={**MESH.clusters, "v3": "1"}, routes={"web": "to v3"}))
    assert [r.type_url for r in await peer.settle()] == [CDS, RDS]


async def test_a_new_stream_is_decided_when_clusters_and_listeners_are_answered(peer):
    await peer.request(CDS)
    await peer.take()
    assert peer.status.outcome(1) is None
    await peer.request(EDS, "v1", "v2")
    await peer.ack(await peer.settle())
    await peer.request(LDS)
    await peer.take()
    assert peer.status.outcome(1) is None
    await peer.request(RDS, "web")
    await peer.take()
    assert peer.status.outcome(1).state is State.ACKED


async def test_types_that_are_not_served_get_no_answer(peer, caplog):
    await peer.request("type.googleapis.com/envoy.Unknown", "x")
    assert await peer.settle() == []
    assert "envoy.Unknown" in caplog.text


async def test_reconnecting_with_versions_resends_nothing_that_is_unchanged():
    first = Peer(DeltaCodec())
    worker = asyncio.create_task(first.connection.run())
    await first.request(CDS)
    (response,) = await first.settle()
    versions = {r.name: r.version for r in response.resources}
    worker.cancel()
    again = Peer(DeltaCodec())
    worker = asyncio.create_task(again.connection.run())
    await again.request(CDS, "*", initial_resource_versions=versions)
    (response,) = await again.settle()
    assert not response.resources and not response.removed_resources
    worker.cancel()


async def test_requests_beyond_the_backlog_wait():
    p = Peer()
    fed = asyncio.create_task(asyncio.wait_for(_flood(p, 1000), 5))
    await asyncio.sleep(0.01)
    assert not fed.done()
    worker = asyncio.create_task(p.connection.run())
    await fed
    worker.cancel()


async def _flood(p: Peer, count: int) -> None:
    for _ in range(count):
        await p.request(RDS, "web")


async def test_until_is_bounded():
    with pytest.raises(AssertionError, match="never"):
        await until(lambda: False, "never", seconds=0.01)
