from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lugsail.requests.joiner import MAX_OF_ONE_ID, MAX_REMEMBERED, Hop, Joiner
from lugsail.requests.line import Line
from tests.lugsail.requests.lines import T, client, server


def joined(*lines: Line, both: bool = False) -> list[Hop]:
    """All of them read half a second after the first began, in that order."""
    joiner = Joiner(both)
    for line in lines:
        joiner.add(line, line.cluster.startswith("inbound"), T + 0.5)
    return joiner.due(T + 10)


def test_two_lines_are_one_hop_whichever_comes_first() -> None:
    for lines in ((client(), server()), (server(), client())):
        (hop,) = joined(*lines)
        assert hop.client is not None and [each.proxy for each in hop.servers] == ["reviews-v2.default"]
        assert hop.attempts == 1


def test_both_shows_each() -> None:
    assert [hop.line.proxy for hop in joined(client(), server(), both=True)] == [
        "productpage-v1.default",
        "reviews-v2.default",
    ]


def test_a_server_whose_client_has_no_proxy_stands_alone() -> None:
    (hop,) = joined(server())
    assert hop.client is None and hop.attempts is None and hop.line.proxy == "reviews-v2.default"


def test_another_request_id_is_another_request() -> None:
    assert len(joined(client(), server(request_id="id-2"))) == 2


def test_attempts_that_went_to_other_hosts_are_counted() -> None:
    first = server(downstream_local="10.0.0.4:9080", downstream_remote="10.0.0.1:41000", proxy="reviews-v1.default")
    (hop,) = joined(first, server(T + 0.01), client())
    assert hop.attempts == 2
    assert [each.proxy for each in hop.servers] == ["reviews-v1.default", "reviews-v2.default"]


def test_two_calls_with_one_id_on_one_connection_are_told_by_time() -> None:
    hops = joined(server(), server(T + 0.102), client(), client(T + 0.1))
    assert [(hop.line.start, hop.attempts) for hop in hops] == [(T, 1), (T + 0.1, 1)]


def test_parallel_calls_with_one_id_are_told_by_their_connections() -> None:
    other = {"upstream_local": "10.0.0.1:40001"}
    hops = joined(
        server(proxy="reviews-v1.default", downstream_remote="10.0.0.1:40001"),
        server(),
        client(),
        client(T + 0.001, **other),
    )
    assert [hop.servers[0].proxy for hop in hops] == ["reviews-v2.default", "reviews-v1.default"]


def test_the_next_hop_of_a_chain_is_not_an_attempt() -> None:
    """ratings is called with the same id while the call of reviews lasts."""
    ratings = {"authority": "ratings:9080", "upstream_local": "10.0.0.5:5", "proxy": "reviews-v2.default"}
    called = server(
        T + 0.005, authority="ratings:9080", downstream_remote="10.0.0.5:5", proxy="ratings-v1.default", duration_ms=1
    )
    hops = joined(called, server(), client(T + 0.004, **ratings, duration_ms=3), client())
    assert [(hop.line.authority, hop.attempts) for hop in hops] == [("reviews:9080", 1), ("ratings:9080", 1)]


def test_a_server_that_answers_after_its_client_gave_up_is_no_row_of_its_own() -> None:
    joiner = Joiner()
    joiner.add(client(duration_ms=500), False, T + 1)
    (hop,) = joiner.due(T + 3)
    assert hop.client is not None
    joiner.add(server(duration_ms=7000), True, T + 8)
    assert joiner.due(T + 20) == []


def test_order_of_start_and_the_delay() -> None:
    joiner = Joiner()
    joiner.add(client(T + 0.2, request_id="b"), False, T + 0.3)
    joiner.add(client(T, request_id="a", duration_ms=900), False, T + 1.9)
    assert joiner.due(T + 1.9) == []
    assert [hop.line.request_id for hop in joiner.due(T + 2.3)] == ["a", "b"]
    joiner.add(client(T - 9, request_id="slow", duration_ms=9000), False, T + 2.4)
    assert [hop.line.request_id for hop in joiner.due(T + 2.4)] == ["slow"]


def test_a_mirrored_request_is_told_from_an_attempt() -> None:
    copy = server(authority="reviews-shadow:9080", proxy="reviews-v3.default", downstream_remote="10.0.0.1:7")
    hops = joined(copy, client(), server())
    assert [(hop.is_mirror, hop.attempts) for hop in hops] == [(False, 1), (True, None)]
    assert hops[1].mirrored_from is hops[0].client


def test_without_ids_connections_join() -> None:
    (hop,) = joined(server(request_id=""), client(request_id=""))
    assert hop.attempts == 1


def test_memory_is_bounded() -> None:
    joiner = Joiner()
    for n in range(MAX_REMEMBERED + 500):
        joiner.add(client(T + n / 1000, request_id=str(n)), False, T)
    for n in range(2 * MAX_OF_ONE_ID):
        joiner.add(client(T + n / 1000, request_id="same"), False, T)
    joiner.due(T + 59)
    assert len(joiner._hops) <= MAX_REMEMBERED and len(joiner._hops["same"]) <= MAX_OF_ONE_ID
    joiner.due(T + 200)
    assert not joiner._hops and not joiner.waiting


@given(st.permutations([0, 1, 2, 3, 4, 5]), st.lists(st.floats(0, 1.0), min_size=6, max_size=6))
def test_neither_order_nor_delay_of_lines_changes_the_hops(order: list[int], delays: list[float]) -> None:
    lines = []
    for n in range(3):
        own = {"request_id": f"id-{n % 2}"}
        connection = f"10.0.0.1:{n}"
        lines.append(client(T + n / 10, upstream_local=connection, **own))
        lines.append(server(T + n / 10 + 0.001, downstream_remote=connection, **own))
    joiner = Joiner()
    arrivals = sorted((lines[i].end + delays[i], i) for i in order)
    found = []
    for when, i in arrivals:
        found += joiner.due(when)
        joiner.add(lines[i], lines[i].cluster.startswith("inbound"), when)
    found += joiner.due(T + 10)
    assert [hop.line.start for hop in found] == [T, T + 0.1, T + 0.2]
    assert [hop.attempts for hop in found] == [1, 1, 1]
