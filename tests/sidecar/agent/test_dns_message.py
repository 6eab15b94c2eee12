"""Our messages against dnspython's, and against whatever bytes there are."""

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.agent.dns_message import (
    EDNS_UDP_BYTES,
    TCP_BYTES,
    Malformed,
    Query,
    address_answer,
    failure,
    is_poor,
    is_reply_to,
    parse_query,
    wire_name,
    with_id,
)

NAME = "Reviews.Default.svc.cluster.local."


def query(name: str = NAME, kind: str = "A", **more: object) -> tuple[dns.message.Message, bytes, Query]:
    message = dns.message.make_query(name, kind, **more)  # type: ignore[arg-type]
    wire = message.to_wire()
    return message, wire, parse_query(wire)


def v4(count: int) -> list[bytes]:
    return [bytes((10, 0, n // 256, n % 256)) for n in range(count)]


def test_a_query_byte_by_byte() -> None:
    wire = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x01A\x02bC\x00" + b"\x00\x1c\x00\x01"
    assert parse_query(wire) == Query(0x1234, 0x0100, b"\x01a\x02bc\x00", 28, wire[12:], False, 512)


def test_an_answer_byte_by_byte() -> None:
    wire = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x01A\x00" + b"\x00\x01\x00\x01"
    assert address_answer(parse_query(wire), [b"\x0a\x00\x00\x01"], b"", 512) == (
        b"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"
        + b"\x01A\x00\x00\x01\x00\x01"
        + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x00\x00\x01"
    )


@pytest.mark.parametrize("edns", [False, True])
def test_addresses_as_dnspython_reads_them(edns: bool) -> None:
    asked, _, parsed = query(use_edns=edns)
    reply = dns.message.from_wire(address_answer(parsed, v4(2), b"", 512))
    assert asked.is_response(reply) and reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA and reply.flags & dns.flags.RA and not reply.flags & dns.flags.TC
    (answer,) = reply.answer
    assert (answer.name, answer.ttl) == (dns.name.from_text(NAME), 30)
    assert [r.address for r in answer] == ["10.0.0.0", "10.0.0.1"]
    assert (reply.edns >= 0) is edns


def test_an_ipv6_address() -> None:
    _, _, parsed = query(kind="AAAA")
    (answer,) = dns.message.from_wire(address_answer(parsed, [bytes(15) + b"\x01"], b"", 512)).answer
    assert [r.address for r in answer] == ["::1"]


def test_no_address_of_the_type_is_no_error() -> None:
    asked, _, parsed = query(kind="AAAA")
    reply = dns.message.from_wire(address_answer(parsed, [], wire_name("reviews"), 512))
    assert asked.is_response(reply) and reply.rcode() == dns.rcode.NOERROR and reply.answer == []


def test_an_alias() -> None:
    asked, _, parsed = query("reviews.ns.svc.")
    reply = dns.message.from_wire(address_answer(parsed, v4(1), wire_name("reviews"), 512))
    alias, address = reply.answer
    assert asked.is_response(reply)
    assert (str(alias.name), str(alias[0].target)) == ("reviews.ns.svc.", "reviews.")
    assert (str(address.name), address[0].address) == ("reviews.", "10.0.0.0")


@given(st.integers(0, 300), st.booleans(), st.booleans(), st.sampled_from([512, EDNS_UDP_BYTES, TCP_BYTES]))
def test_an_answer_keeps_to_its_limit_and_says_when_it_is_cut(count: int, edns: bool, alias: bool, limit: int) -> None:
    asked, _, parsed = query(use_edns=edns)
    wire = address_answer(parsed, v4(count), wire_name("reviews") if alias else b"", limit)
    reply = dns.message.from_wire(wire)
    got = sum(len(answer) for answer in reply.answer if answer.rdtype == 1)
    assert len(wire) <= limit and asked.is_response(reply)
    assert bool(reply.flags & dns.flags.TC) is (got < count)
    assert got == count or len(wire) + 16 > limit, "no more is left out than must be"


@pytest.mark.parametrize(
    ("payload", "expected"), [(100, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232), (65535, 1232)]
)
def test_the_payload_that_a_client_offers_is_bounded(payload: int, expected: int) -> None:
    _, _, parsed = query(payload=payload, use_edns=0)
    assert (parsed.edns, parsed.payload_bytes) == (True, expected)


def test_a_failure() -> None:
    asked, _, parsed = query()
    reply = dns.message.from_wire(failure(parsed))
    assert asked.is_response(reply) and reply.rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize(
    ("kind", "class_", "ours"), [("A", "IN", True), ("AAAA", "IN", True), ("TXT", "IN", False), ("A", "CH", False)]
)
def test_what_a_table_of_addresses_can_answer(kind: str, class_: str, ours: bool) -> None:
    message = dns.message.make_query(NAME, kind, dns.rdataclass.from_text(class_))
    assert parse_query(message.to_wire()).asks_addresses is ours


def test_a_dynamic_update_is_not_ours() -> None:
    _, wire, _ = query()
    assert not parse_query(wire[:2] + b"\x28\x00" + wire[4:]).asks_addresses


HEADER = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"", "shorter than a header"),
        (HEADER[:-1], "shorter than a header"),
        (b"\x00\x01\x81\x00" + HEADER[4:] + b"\x00\x00\x01\x00\x01", "a response"),
        (HEADER[:4] + b"\x00\x00" + HEADER[6:], "0 questions"),
        (HEADER[:4] + b"\x00\x02" + HEADER[6:] + b"\x00\x00\x01\x00\x01" * 2, "2 questions"),
        (HEADER, "ends in a name"),
        (HEADER + b"\x03ab", "ends in a name"),
        (HEADER + b"\xc0\x0c\x00\x01\x00\x01", "a pointer"),
        (HEADER + b"\x40" + b"a" * 64 + b"\x00\x00\x01\x00\x01", "a label of an unknown kind"),
        (HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01", "longer than 255 bytes"),
        (HEADER + b"\x00\x00\x01", "ends in the question"),
        (HEADER[:-1] + b"\x01" + b"\x00\x00\x01\x00\x01", "ends in a name"),
        (HEADER[:-1] + b"\x01" + b"\x00\x00\x01\x00\x01" + b"\x00\x00\x29", "ends in a record"),
        (
            HEADER[:-1] + b"\x01" + b"\x00\x00\x01\x00\x01" + b"\x00\x00\x29\x04\xd0" + bytes(4) + b"\x00\x09",
            "ends in a record's data",
        ),
    ],
)
def test_what_is_malformed(wire: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_query(wire)


@given(st.binary(max_size=600))
@example(HEADER[:-1] + b"\x02" + b"\x00\x00\x01\x00\x01" + b"\xc0\x11" + b"\x00\x29" + bytes(8) + b"\xc0\x11" * 9)
@example(HEADER[:6] + b"\xff" * 6 + b"\x00\x00\x01\x00\x01")
def test_no_bytes_do_harm(data: bytes) -> None:
    try:
        parsed = parse_query(data)
    except Malformed:
        return
    for limit in (parsed.payload_bytes, TCP_BYTES):
        for alias in (b"", wire_name("a.b")):
            assert len(address_answer(parsed, v4(200), alias, limit)) <= limit
    assert is_reply_to(parsed, parsed.id, failure(parsed))


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(0, 4), st.integers(0, 4))
def test_no_records_do_harm(parts: list[bytes], additional: int, authority: int) -> None:
    wire = HEADER[:8] + bytes((0, authority, 0, additional)) + b"\x01a\x00\x00\x01\x00\x01" + b"".join(parts)
    try:
        parse_query(wire)
    except Malformed:
        pass


@given(st.binary(max_size=300))
def test_no_reply_does_harm(data: bytes) -> None:
    _, _, parsed = query()
    is_reply_to(parsed, 1, data)


def test_which_replies_fit() -> None:
    asked, wire, parsed = query()
    made = dns.message.make_response(asked).to_wire()
    assert is_reply_to(parsed, asked.id, made)
    assert is_reply_to(parsed, 7, with_id(made, 7))
    assert not is_reply_to(parsed, asked.id ^ 1, made), "another id"
    assert not is_reply_to(parsed, asked.id, wire), "not a response"
    assert not is_reply_to(parsed, asked.id, made[:11])
    for other in (query("other.")[0], query(kind="AAAA")[0]):
        assert not is_reply_to(parsed, other.id, dns.message.make_response(other).to_wire()), "another question"
    lower = dns.message.make_response(query(NAME.lower())[0]).to_wire()
    assert is_reply_to(parsed, parsed.id, with_id(lower, parsed.id)), "a resolver may forget the case"


def test_an_error_without_the_question_fits() -> None:
    asked, _, parsed = query()
    bare = dns.message.Message(asked.id)
    bare.flags |= dns.flags.QR
    assert not is_reply_to(parsed, asked.id, bare.to_wire())
    bare.set_rcode(dns.rcode.REFUSED)
    assert is_reply_to(parsed, asked.id, bare.to_wire()) and is_poor(bare.to_wire())


@pytest.mark.parametrize(
    ("rcode", "poor"),
    [("NOERROR", False), ("NXDOMAIN", False), ("SERVFAIL", True), ("REFUSED", True), ("NOTIMP", True)],
)
def test_what_another_resolver_may_answer_better(rcode: str, poor: bool) -> None:
    reply = dns.message.make_response(query()[0])
    reply.set_rcode(dns.rcode.from_text(rcode))
    assert is_poor(reply.to_wire()) is poor


@pytest.mark.parametrize("name", ["reviews", "a.b.example", "x" * 63, "."])
def test_wire_names(name: str) -> None:
    assert wire_name(name) == dns.name.from_text(name).to_wire()


@pytest.mark.parametrize("name", ["x" * 64, "a..b", ".".join(["x" * 50] * 6)])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"label|longer"):
        wire_name(name)
