"""Who the two sides are, which rows are wanted, and how a row looks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugsail.requests import row as rows
from lugsail.requests.joiner import Hop
from lugsail.requests.peers import Peer, Peers, from_endpoints, from_workloads
from lugsail.requests.routes import Rule, Verdict, unknown
from lugsail.requests.row import CLIENT, SERVER, Row
from lugsail.requests.select import BadFilter, Wanted, duration_s
from lugsail.requests.show import Table, as_json, printable
from tests.lugsail.requests.lines import T, client, server

ITEMS = [
    {"address": "10.0.0.1", "name": "productpage-v1", "namespace": "default", "app": "productpage", "version": "v1"},
    {"address": "10.0.0.5", "name": "reviews-v2", "namespace": "default", "app": "reviews", "version": "v2"},
]
PROXIES = [{"proxy": "istio-ingressgateway.istio-system", "ip": "10.0.0.9", "type": "router"}]
PEERS = from_workloads({"items": ITEMS}, PROXIES)
RULE = Verdict((Rule("rule", "reviews.default", "http[1]", "http[1].match[0]", "to v2"),))


def row(hop: Hop, side: str = CLIENT, rule: Verdict | None = RULE) -> Row:
    return Row(hop, *rows.sides(hop, side, PEERS), side, rule)


def test_sides() -> None:
    assert [each.shown for each in rows.sides(Hop(client()), CLIENT, PEERS)] == ["productpage-v1", "reviews-v2"]
    assert [each.shown for each in rows.sides(Hop(None, [server()]), SERVER, PEERS)] == ["productpage-v1", "reviews-v2"]
    gateway = Hop(client(proxy="istio-ingressgateway.istio-system", upstream_host="10.0.0.1:9080"))
    assert [each.shown for each in rows.sides(gateway, CLIENT, PEERS)] == ["ingressgateway", "productpage-v1"]


def test_sides_that_are_no_workloads() -> None:
    unrouted = Hop(client(upstream_host="", cluster="", authority="nowhere.example"))
    assert rows.sides(unrouted, CLIENT, PEERS)[1].shown == "nowhere.example"
    aborted = Hop(client(upstream_host=""))
    assert rows.sides(aborted, CLIENT, PEERS)[1].shown == "reviews (v2)"
    outside = Hop(None, [server(downstream_remote="192.0.2.1:5")])
    assert rows.sides(outside, SERVER, PEERS)[0].shown == "192.0.2.1"
    mirror = Hop(None, [server(authority="reviews-shadow")], mirrored_from=client())
    assert rows.sides(mirror, SERVER, PEERS)[0].shown == "productpage-v1"


def test_whose_line_it_is() -> None:
    assert rows.is_server(server(), PEERS) and not rows.is_server(client(), PEERS)
    refused = {"cluster": "", "upstream_host": "", "code": 403, "downstream_local": "10.0.0.5:9080"}
    assert rows.is_server(server(**refused), PEERS)
    assert not rows.is_server(client(cluster="", downstream_local="240.0.0.1:9080"), PEERS)
    gateway = client(cluster="", proxy="istio-ingressgateway.istio-system", downstream_local="10.0.0.9:8080")
    assert not rows.is_server(gateway, PEERS)


def test_an_address_that_two_claim_is_nobodys() -> None:
    peers = Peers([("10.0.0.1", Peer("a", "x")), ("10.0.0.1", Peer("b", "x"))])
    assert peers.at("10.0.0.1") is None


def test_workloads_of_an_older_control_plane() -> None:
    endpoint = {"address": "10.0.0.5", "workload": "reviews-v2.default", "labels": {"app": "reviews", "version": "v2"}}
    peers = from_endpoints([{"endpoints": [endpoint]}], [{"proxy": "reviews-v2.default", "ip": "10.0.0.5"}, *PROXIES])
    assert peers.at("10.0.0.5") == Peer("reviews-v2", "default", "reviews", "v2")
    assert peers.at("10.0.0.9") == Peer("istio-ingressgateway", "istio-system")
    assert peers.gateways == {"istio-ingressgateway.istio-system"}


@pytest.mark.parametrize(
    ("wanted", "is_it"),
    [
        ("reviews-v2", True),
        ("reviews", True),
        ("reviews.default", True),
        ("reviews.other", False),
        ("reviews-v1", False),
        ("", False),
    ],
)
def test_names_of_workloads(wanted: str, is_it: bool) -> None:
    assert Peer("reviews-v2", "default", "reviews", "v2").is_named(wanted) is is_it


def test_names_of_gateways() -> None:
    gateway = Peer("istio-ingressgateway", "istio-system")
    assert all(gateway.is_named(each) for each in ("gateway", "ingressgateway", "istio-ingressgateway"))


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        (Wanted(), True),
        (Wanted(code="503"), True),
        (Wanted(code="5xx"), True),
        (Wanted(code="4xx"), False),
        (Wanted(code="0"), False),
        (Wanted(flag="uf"), True),
        (Wanted(flag="UH"), False),
        (Wanted(path="/reviews"), True),
        (Wanted(path="/x"), False),
        (Wanted(request_id="id-1"), True),
        (Wanted(request_id="id"), False),
        (Wanted(since=T + 1), False),
    ],
)
def test_filters(wanted: Wanted, is_wanted: bool) -> None:
    assert wanted.has(Hop(client(code=503, flags=("UF", "URX")))) is is_wanted


def test_a_request_id_is_found_as_it_was_sent() -> None:
    logged = Hop(client(request_id="3aeea5af-ed3d-937b-9c91-c24d47e22b94"))
    assert Wanted(request_id="3aeea5af-ed3d-437b-9c91-c24d47e22b94").has(logged)
    assert not Wanted(request_id="3aeea5af-ed3d-437b-9c91-c24d47e22b95").has(logged)


@pytest.mark.parametrize(
    ("request_id", "probe"),
    [
        ("", b""),
        ("id-1", b"id-1"),
        ("3aeea5af-ed3d-437b-9c91-c24d47e22b94", b"37b-9c91-c24d47e22b94"),
        ('a"b', b""),  # JSON logs write it otherwise
    ],
)
def test_lines_that_cannot_be_of_a_request_id_are_not_even_read(request_id: str, probe: bytes) -> None:
    assert Wanted(request_id=request_id).probe == probe


def test_filters_of_sides() -> None:
    one, two = Peer("productpage-v1", "default", "productpage"), Peer("reviews-v2", "default", "reviews")
    assert Wanted(source="productpage", destination="reviews").has_sides(one, two)
    assert not Wanted(source="reviews").has_sides(one, two)
    assert Wanted(workload="reviews").has_sides(one, two) and Wanted(workload="reviews").has_sides(two, one)


def test_options_that_make_no_sense() -> None:
    for bad in ("x", "5x", "6000", "oops"):
        with pytest.raises(BadFilter, match=f"--code {bad}: expected"):
            Wanted(code=bad)
    assert [duration_s(each) for each in ("90", "1m", "500ms", "1.5h")] == [90, 60, 0.5, 5400]
    with pytest.raises(BadFilter, match="--since soon: expected a duration"):
        duration_s("soon")


def test_a_row_as_text() -> None:
    table = Table()
    hop = Hop(client(code=503, flags=("UF",), failure="refused"), [server(), server()])
    text = table.row(row(hop))
    assert "productpage-v1  → reviews-v2" in text
    assert "GET /reviews/0" in text and " 503 " in text and " 20 " in text
    assert "VirtualService reviews.default http[1] (to v2)" in text
    assert "UF could not connect to the upstream" in text and "(refused)" in text and "2 attempts" in text
    assert "\x1b" not in text and "\x1b[31m503 \x1b[0m" in Table(colour=True).row(row(hop))


def test_flags_of_the_called_proxy_are_told() -> None:
    """The caller's proxy got a 503 by its upstream: only the called one knows that its app is down."""
    hop = Hop(client(code=503), [server(code=503, flags=("UF",), failure="refused")])
    assert row(hop).why.startswith("at reviews-v2: UF could not connect to the upstream")
    assert json.loads(as_json(row(hop)))["flags"][0]["proxy"] == "reviews-v2.default"
    assert Wanted(flag="UF").has(hop)
    gave_up = Hop(client(code=504, flags=("UT",)), [server(code=0, flags=("DC",))])
    assert "DC" not in row(gave_up).why and row(gave_up).why.startswith("UT ")


def test_columns_stay_aligned() -> None:
    table = Table()
    table.fit([row(Hop(client(path="/" + "x" * 30)))])
    lines = [table.header(), table.row(row(Hop(client()))), table.row(row(Hop(client(path="/" + "x" * 30))))]
    assert len({line.index(word) for line, word in zip(lines, ("RULE", "VirtualS", "VirtualS"), strict=True)}) == 1


def test_rows_without_a_rule() -> None:
    assert row(Hop(None, [server()]), SERVER, None).shown_rule == "-"
    copy = Hop(None, [server(authority="reviews-shadow")], mirrored_from=client())
    assert row(copy, SERVER).shown_rule == "mirror of VirtualService reviews.default http[1] (to v2)"
    assert row(Hop(client()), CLIENT, unknown("why")).shown_rule == "? (why)"


def test_a_row_as_json() -> None:
    found = json.loads(as_json(row(Hop(client(code=503, flags=("UF",)), [server()]))))
    assert found["from"] == {
        "workload": "productpage-v1",
        "namespace": "default",
        "app": "productpage",
        "version": "v1",
    }
    assert found["to"]["workload"] == "reviews-v2"
    assert (found["code"], found["attempts"], found["duration_ms"], found["side"]) == (503, 1, 20, "client")
    assert found["flags"][0]["flag"] == "UF" and found["flags"][0]["next"]
    assert found["rule"]["rule"] == "http[1]"


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("/ok ✓", "/ok ✓"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb\x07", "a\\x0db\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp", "\\u202egnp"),
        ("\udcff", "\\xff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_nothing_that_a_terminal_would_obey(raw: str, safe: str) -> None:
    assert printable(raw) == safe


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_whatever_a_client_sends_is_one_harmless_line(text: str) -> None:
    hop = Hop(client(path=text, method=text, authority=text, upstream_host="", cluster="", failure=text, flags=("UF",)))
    shown = Table().row(row(hop))
    assert shown.isprintable()
    assert as_json(row(hop)).isascii() and "\n" not in as_json(row(hop))
    shown.encode()
