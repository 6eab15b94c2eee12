"""DNS messages, as far as a forwarder with a table of addresses needs them (RFC 1035, 6891). Pure.

Queries are read up to their question and EDNS record, and answers with addresses are written; everything else passes
through as the bytes that it came in. A library of whole messages would read and write all of it anew, at many times the
cost and not always as it was; so none is used, and the tests hold this against dnspython.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

HEADER_BYTES = 12
TYPE_A, TYPE_AAAA = 1, 28
SERVFAIL = 2
#: How long a client may keep an answer from the table, in seconds; Istio's agent says the same.
TTL_S = 30
#: Answers over UDP without EDNS (RFC 1035, 4.2.1), and the most we send with it: fits any path without fragments.
UDP_BYTES, EDNS_UDP_BYTES = 512, 1232
TCP_BYTES = 65535

_CLASS_IN = 1
_TYPE_CNAME, _TYPE_OPT = 5, 41
_QR, _OPCODE, _AA, _TC, _RD, _RA, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_RCODE = 0x000F
_NAME_BYTES, _LABEL_BYTES = 255, 63
_HEADER = struct.Struct("!6H")
_TYPE_CLASS = struct.Struct("!2H")
_RECORD = struct.Struct("!2HIH")  # type, class, TTL, length of the data; behind the name
_QUESTION_POINTER = b"\xc0\x0c"  # the name at offset 12
#: REFUSED, NOTIMP, SERVFAIL and FORMERR may come without the question.
_BARE_ERRORS = frozenset({1, 2, 4, 5})
#: What another resolver may answer better.
_POOR_ANSWERS = frozenset({2, 4, 5})


class Malformed(ValueError):
    """Not a DNS query with one question; the text says where it ends to be one."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query. `name`: in wire form and lower case; `question`: name, type and class as they came.

    `payload_bytes`: what the client takes over UDP; `edns`: whether it said so in an OPT record.
    """

    id: int
    flags: int
    name: bytes
    type: int
    question: bytes
    edns: bool
    payload_bytes: int

    @property
    def asks_addresses(self) -> bool:
        """An ordinary query for A or AAAA in the Internet class: what a table of addresses can answer."""
        ordinary = not self.flags & _OPCODE and self.question[-2:] == b"\x00\x01"
        return ordinary and self.type in (TYPE_A, TYPE_AAAA)


def parse_query(data: bytes) -> Query:
    """The query in a message. Raises Malformed."""
    if len(data) < HEADER_BYTES:
        raise Malformed("shorter than a header")
    id_, flags, questions, *records = _HEADER.unpack_from(data)
    if flags & _QR:
        raise Malformed("a response")
    if questions != 1:
        raise Malformed(f"{questions} questions")
    end = _end_of_name(data, HEADER_BYTES, compressed=False)
    name = data[HEADER_BYTES:end].lower()  # lengths are below 64, no upper case letter
    if len(data) < end + 4:
        raise Malformed("ends in the question")
    type_, _ = _TYPE_CLASS.unpack_from(data, end)
    payload = _edns_payload(data, end + 4, sum(records))
    return Query(
        id=id_,
        flags=flags,
        name=name,
        type=type_,
        question=data[HEADER_BYTES : end + 4],
        edns=payload is not None,
        payload_bytes=max(UDP_BYTES, min(payload or 0, EDNS_UDP_BYTES)),
    )


def _end_of_name(data: bytes, at: int, *, compressed: bool) -> int:
    """Where the name that starts here ends. Pointers end it and are not followed, so no loop can hold us."""
    start = at
    while at < len(data):
        length = data[at]
        if length == 0:
            if at + 1 - start > _NAME_BYTES:
                raise Malformed("a name longer than 255 bytes")
            return at + 1
        if length & 0xC0 == 0xC0 and compressed:
            return at + 2
        if length > _LABEL_BYTES:
            # Nothing comes before the question's name that a pointer could mean.
            raise Malformed("a pointer, or a label of an unknown kind")
        at += 1 + length
    raise Malformed("ends in a name")


def _edns_payload(data: bytes, at: int, count: int) -> int | None:
    """The UDP payload size of the OPT record among the records behind the question; None without one."""
    payload = None
    for _ in range(count):  # each takes at least eleven bytes, so the message's length bounds this
        owner, at = at, _end_of_name(data, at, compressed=True)
        if len(data) < at + _RECORD.size:
            raise Malformed("ends in a record")
        type_, class_, _, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size + length
        if len(data) < at:
            raise Malformed("ends in a record's data")
        if type_ == _TYPE_OPT and data[owner] == 0:
            payload = class_
    return payload


def address_answer(query: Query, addresses: Sequence[bytes], alias_of: bytes, limit: int) -> bytes:
    """NOERROR with these addresses, none meaning that the name has no record of this type.

    `alias_of`: the name (wire form) that the asked one is an alias of, b"" for none. What does not fit into `limit`
    bytes is left out and the answer marked as truncated.
    """
    owner, answers, count = _QUESTION_POINTER, b"", 0
    if alias_of and addresses:
        answers = _record(_QUESTION_POINTER, _TYPE_CNAME, alias_of)
        count = 1
        # The alias's name stands in the data of the record that was just written, and there it is pointed to.
        at = HEADER_BYTES + len(query.question) + len(answers) - len(alias_of)
        owner = struct.pack("!H", 0xC000 | at)
    room = limit - HEADER_BYTES - len(query.question) - len(answers) - (_RECORD.size + 1 if query.edns else 0)
    fits = max(0, room) // (len(owner) + _RECORD.size + (4 if query.type == TYPE_A else 16))
    answers += b"".join(_record(owner, query.type, address) for address in addresses[:fits])
    truncated = _TC if len(addresses) > fits else 0
    return _reply(query, _AA | truncated, count + len(addresses[:fits]), answers)


def failure(query: Query, rcode: int = SERVFAIL) -> bytes:
    """The question back with an error."""
    return _reply(query, rcode, 0, b"")


def _record(owner: bytes, type_: int, data: bytes) -> bytes:
    return owner + _RECORD.pack(type_, _CLASS_IN, TTL_S, len(data)) + data


def _reply(query: Query, flags: int, answers: int, records: bytes) -> bytes:
    flags |= _QR | _RA | query.flags & (_OPCODE | _RD | _CD)
    header = _HEADER.pack(query.id, flags, 1, answers, 0, int(query.edns))
    # RFC 6891, 6.1.1: who was asked with an OPT record answers with one.
    opt = b"\0" + _RECORD.pack(_TYPE_OPT, EDNS_UDP_BYTES, 0, 0) if query.edns else b""
    return header + query.question + records + opt


def with_id(message: bytes, id_: int) -> bytes:
    """The same message under another id."""
    return struct.pack("!H", id_) + message[2:]


def is_reply_to(query: Query, id_: int, data: bytes) -> bool:
    """Whether the message answers the query that was sent on under this id: same id, same question, a response."""
    if len(data) < HEADER_BYTES:
        return False
    its_id, flags, questions, *_ = _HEADER.unpack_from(data)
    if its_id != id_ or not flags & _QR:
        return False
    if questions == 0:
        return flags & _RCODE in _BARE_ERRORS
    end = HEADER_BYTES + len(query.question)
    return (
        questions == 1
        and data[HEADER_BYTES : end - 4].lower() == query.name
        and data[end - 4 : end] == (query.question[-4:])
    )


def is_poor(reply: bytes) -> bool:
    """Whether the resolver could or would not say: another one may."""
    return reply[3] & _RCODE in _POOR_ANSWERS


def wire_name(text: str) -> bytes:
    """`reviews.default` in wire form, lower case. Raises ValueError when it is no domain name."""
    labels = [label.encode() for label in text.lower().rstrip(".").split(".") if text.strip(".")]
    if any(not 0 < len(label) <= _LABEL_BYTES for label in labels):
        raise ValueError(f"{text!r} has a label that is empty or longer than {_LABEL_BYTES} bytes")
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(name) > _NAME_BYTES:
        raise ValueError(f"{text!r} is longer than {_NAME_BYTES} bytes")
    return name
