"""Trace contexts; beside the stock Envoy they are compared in tests/sidecar/oracle/test_tracing.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.codec.headers import RequestHeaders
from sidecar.telemetry.trace_context import (
    Context,
    Ids,
    child_of,
    inject_otel,
    inject_zipkin,
    otel_context,
    write_unsampled,
    zipkin_context,
)

TRACE, SPAN, PARENT = b"463ac35c9f6413ad48485a3953bb6124", b"a2fb4a1d1a96d312", b"0020000000000001"
B3 = ((b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN))


def head(*lines: tuple[bytes, bytes]) -> RequestHeaders:
    made = RequestHeaders(b"GET", b"/", b"app")
    for name, value in lines:
        made.add(name, value)
    return made


@pytest.mark.parametrize(
    ("lines", "parent", "sampled"),
    [
        ((*B3, (b"x-b3-sampled", b"1")), SPAN, True),
        ((*B3, (b"x-b3-sampled", b"0")), SPAN, False),
        (B3, SPAN, True),
        (((b"b3", TRACE + b"-" + SPAN + b"-0-" + PARENT),), SPAN, False),
        (((b"traceparent", b"00-" + TRACE + b"-" + SPAN + b"-00"),), SPAN, False),
        (((b"x-b3-sampled", b"0"),), None, False),
        ((), None, True),
    ],
)
def test_zipkin(lines: tuple[tuple[bytes, bytes], ...], parent: bytes | None, sampled: bool) -> None:
    found = zipkin_context(head(*lines), True, True, Ids(), True)
    assert found is not None
    assert (found.parent_id, found.sampled) == (parent, sampled)
    assert (found.trace_id == TRACE) is (parent is not None)
    assert found.span_id not in (SPAN, PARENT)


UNSAMPLED = (*B3, (b"x-b3-sampled", b"0"))


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("w3c", [True, False])
@pytest.mark.parametrize(
    "lines",
    [
        (),
        UNSAMPLED,
        (*UNSAMPLED, (b"x-b3-parentspanid", PARENT)),
        (*UNSAMPLED, (b"traceparent", b"00-" + TRACE + b"-" + PARENT + b"-01")),
        ((b"x-b3-traceid", SPAN), (b"x-b3-spanid", PARENT), (b"x-b3-sampled", b"0")),
    ],
)
def test_the_short_way_writes_what_the_long_one_does(
    lines: tuple[tuple[bytes, bytes], ...], w3c: bool, wide: bool
) -> None:
    short, long = head(*lines), head(*lines)
    assert write_unsampled(short, OneId(), wide, w3c)
    context = zipkin_context(long, w3c, False, OneId(), wide)
    assert context is not None
    inject_zipkin(long, context, w3c)
    assert short == long and short[b"x-b3-spanid"] != dict(lines).get(b"x-b3-spanid")


class OneId(Ids):
    """Always the same."""

    def more_spans(self) -> bytes:
        return b"f" * 16

    def more_roots(self) -> tuple[bytes, bytes, bytes]:
        return b"e" * 32, b"e" * 16, b"00-" + b"e" * 32 + b"-" + b"e" * 16 + b"-00"


@pytest.mark.parametrize(
    "lines",
    [
        B3,
        (*B3, (b"x-b3-sampled", b"1")),
        (*UNSAMPLED, (b"x-b3-parentspanid", b"")),
        (*UNSAMPLED, (b"x-b3-parentspanid", b"x")),
        (*UNSAMPLED, (b"b3", b"0")),
        (*UNSAMPLED, (b"x-b3-traceid", SPAN)),
        ((b"x-b3-traceid", TRACE.upper()), (b"x-b3-spanid", SPAN), (b"x-b3-sampled", b"0")),
        ((b"x-b3-traceid", b"0" * 16 + SPAN), (b"x-b3-spanid", SPAN), (b"x-b3-sampled", b"0")),
        ((b"x-b3-traceid", TRACE), (b"x-b3-spanid", b"1a"), (b"x-b3-sampled", b"0")),
        ((b"x-b3-sampled", b"0"),),
        ((b"traceparent", b"00-" + TRACE + b"-" + SPAN + b"-00"),),
    ],
)
def test_the_short_way_leaves_all_others_alone(lines: tuple[tuple[bytes, bytes], ...]) -> None:
    request = head(*lines)
    assert not write_unsampled(request, Ids(), True, True)
    assert request == head(*lines)


def test_nonsense_is_no_context() -> None:
    assert zipkin_context(head((b"b3", b"x")), True, True, Ids(), True) is None
    assert zipkin_context(head((b"x-b3-traceid", b"x"), (b"x-b3-spanid", SPAN)), True, True, Ids(), True) is None
    assert otel_context(head((b"traceparent", b"00-x-y-01")), True, Ids()) is None


def test_roots() -> None:
    wide = zipkin_context(head(), False, True, Ids(), True)
    narrow = zipkin_context(head(), False, False, Ids(), False)
    assert wide is not None
    assert narrow is not None
    assert len(wide.trace_id) == 32
    assert wide.trace_id.endswith(wide.span_id)
    assert narrow.trace_id == narrow.span_id
    assert not narrow.sampled


def test_injected() -> None:
    request = head(*B3, (b"x-b3-traceid", b"once more"))
    inject_zipkin(request, Context(SPAN, PARENT, SPAN, True), True)
    assert dict(request) == {
        b"x-b3-traceid": SPAN,
        b"x-b3-spanid": PARENT,
        b"x-b3-parentspanid": SPAN,
        b"x-b3-sampled": b"1",
        b"traceparent": b"00-0000000000000000" + SPAN + b"-" + PARENT + b"-01",
    }
    assert not request.multi
    request = head()
    inject_zipkin(request, Context(TRACE, SPAN, None, False, True), False)
    assert dict(request) == {b"b3": TRACE + b"-" + SPAN + b"-0"}
    inject_otel(request, Context(TRACE, SPAN, None, True, state=b"a=1"))
    assert (request[b"traceparent"], request[b"tracestate"]) == (b"00-" + TRACE + b"-" + SPAN + b"-01", b"a=1")


@given(st.binary(max_size=80))
def test_any_header_is_a_context_or_not(value: bytes) -> None:
    for name in (b"b3", b"x-b3-traceid", b"traceparent"):
        for found in (
            zipkin_context(head((name, value), (b"x-b3-spanid", SPAN)), True, True, Ids(), True),
            otel_context(head((name, value)), True, Ids()),
        ):
            assert found is None or (len(found.trace_id) in (16, 32) and len(found.span_id) == 16)


@given(st.booleans(), st.booleans(), st.booleans())
def test_what_is_injected_is_extracted(single: bool, sampled: bool, w3c: bool) -> None:
    sent = child_of(Context(TRACE, SPAN, None, sampled, single), Ids())
    request = head()
    inject_zipkin(request, sent, w3c)
    found = zipkin_context(request, w3c, not sampled, Ids(), True)
    assert found is not None
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, sent.span_id, sampled)
