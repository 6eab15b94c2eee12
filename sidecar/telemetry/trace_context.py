"""Trace contexts in request headers: B3 in its two forms, and W3C's traceparent with tracestate.

Ids are lower-case hex as bytes, as they go on the wire. Pure, save that fresh ids come from the system's randomness.

Sources: openzipkin/b3-propagation; W3C Trace Context; and Envoy's tracers for what is taken and what is refused.
"""

from __future__ import annotations

import os
import re
from typing import Literal, NamedTuple

from sidecar.codec.headers import RequestHeaders

#: None of these in a request: nobody before us traces it.
B3_NAMES = frozenset((b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled"))
TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
ZIPKIN_NAMES = B3_NAMES | {TRACEPARENT}

_HEX = re.compile(rb"[0-9a-fA-F]+").fullmatch
_SINGLE = re.compile(
    rb"([0-9a-fA-F]{16}|[0-9a-fA-F]{32})-([0-9a-fA-F]{16})(?:-([01d])(?:-([0-9a-fA-F]{16}))?)?"
).fullmatch
_TRACEPARENT = re.compile(rb"[0-9a-fA-F]{2}-([0-9a-fA-F]{32})-([0-9a-fA-F]{16})-([0-9a-fA-F]{2})").fullmatch
_LOWER_HEX = b"0123456789abcdef"
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_IDS_PER_READ = 128


class Context(NamedTuple):
    """A position in a trace. `parent_id` None: a root. `single`: the headers are those of B3's single form."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    sampled: bool
    single: bool = False
    state: bytes = b""


class Ids:
    """Random ids, made many at a time: that is when the code is hot."""

    __slots__ = ("roots", "spans")

    def __init__(self) -> None:
        #: Contexts of unsampled roots: the trace's id (32 hex digits), the span's (its lower half), the traceparent.
        self.roots: list[tuple[bytes, bytes, bytes]] = []
        #: Spans' ids, 16 hex digits.
        self.spans: list[bytes] = []

    def trace(self) -> bytes:
        """32 hex digits."""
        return self.roots.pop()[0] if self.roots else self.more_roots()[0]

    def span(self) -> bytes:
        """16 hex digits."""
        return self.spans.pop() if self.spans else self.more_spans()

    def more_roots(self) -> tuple[bytes, bytes, bytes]:
        """One root, when there is none left."""
        digits = os.urandom(16 * _IDS_PER_READ).hex().encode()
        self.roots += [
            (trace_id := digits[at : at + 32], own := trace_id[16:], b"-".join((b"00", trace_id, own, b"00")))
            for at in range(0, len(digits), 32)
        ]
        return self.roots.pop()

    def more_spans(self) -> bytes:
        """One span's id, when there is none left."""
        digits = os.urandom(8 * _IDS_PER_READ).hex().encode()
        self.spans += [digits[at : at + 16] for at in range(0, len(digits), 16)]
        return self.spans.pop()


def zipkin_context(request: RequestHeaders, w3c: bool, traced: bool, ids: Ids, wide: bool) -> Context | None:
    """The context of our own span, by Envoy's Zipkin tracer: a child of what came, else a root.

    `traced` decides where nobody before us did; `wide`: roots get 128 bits. None for headers that make no sense.
    """
    if ZIPKIN_NAMES.isdisjoint(request):
        return _zipkin_root(ids, wide, traced, False)
    found = _from_b3_single(request, traced) if b"b3" in request else _from_b3(request, traced)
    if found == "broken":
        return None
    if found == "nothing" and w3c and b"b3" not in request:
        found = _from_traceparent(request)
    if isinstance(found, Context):
        return Context(found.trace_id, ids.span(), found.span_id, found.sampled, found.single)
    flag = request.get(b"b3") if b"b3" in request else request.get(b"x-b3-sampled")
    sampled = traced if flag is None else flag in (b"1", b"d", b"true")
    return _zipkin_root(ids, wide, sampled, b"b3" in request)


def _zipkin_root(ids: Ids, wide: bool, sampled: bool, single: bool) -> Context:
    trace_id = ids.trace()
    span_id = trace_id[16:]
    return Context(trace_id if wide else span_id, span_id, None, sampled, single)


_Found = Context | Literal["nothing", "broken"]


def _from_b3(request: RequestHeaders, traced: bool) -> _Found:
    trace_id, span_id = _first(request, b"x-b3-traceid"), _first(request, b"x-b3-spanid")
    if trace_id is None or span_id is None:
        return "nothing"
    parent_id = _first(request, b"x-b3-parentspanid")
    trace = _trace_id(trace_id)
    span = _id(span_id)
    if trace is None or span is None or (parent_id and _id(parent_id) is None):
        return "broken"
    flag = _first(request, b"x-b3-sampled")
    return Context(trace, span, None, traced if flag is None else flag in (b"1", b"true"))


def _from_b3_single(request: RequestHeaders, traced: bool) -> _Found:
    value = _first(request, b"b3") or b""
    if value in (b"0", b"1", b"d"):
        return "nothing"
    match = _SINGLE(value)
    if match is None:
        return "broken"
    trace_id, span_id, flag, _ = match.groups()
    sampled = traced if flag is None else flag != b"0"
    return Context(_narrow(trace_id.lower()), span_id.lower(), None, sampled, True)


def _from_traceparent(request: RequestHeaders) -> _Found:
    match = _TRACEPARENT(_first(request, TRACEPARENT) or b"")
    if match is None:
        return "nothing"
    trace_id, span_id, flags = match.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return "nothing"
    return Context(_narrow(trace_id.lower()), span_id.lower(), None, bool(int(flags, 16) & 1))


def _trace_id(text: bytes) -> bytes | None:
    if len(text) == 32:
        return _narrow(text.lower()) if _HEX(text) else None
    return _id(text)


def _id(text: bytes) -> bytes | None:
    """A 64-bit number in hex, filled up to 16 digits."""
    if not _HEX(text):
        return None
    if len(text) == 16:
        return text.lower()
    digits = text.lstrip(b"0").lower()
    return digits.rjust(16, b"0") if len(digits) <= 16 else None


def _narrow(trace_id: bytes) -> bytes:
    """Envoy knows an id of 128 bits by its upper half, and writes the lower one alone where that is 0."""
    return trace_id[16:] if len(trace_id) == 32 and trace_id.startswith(_NO_SPAN) else trace_id


def write_unsampled(request: RequestHeaders, ids: Ids, wide: bool, w3c: bool) -> bool:
    """What `zipkin_context` and `inject_zipkin` write for a request that is not traced, in one go.

    For the many whose context is of the usual form: none, or B3 in several headers, unsampled, in lower case. False,
    and nothing written, for any other.
    """
    trace_id = request.get(b"x-b3-traceid")
    if trace_id is None:
        if b"x-b3-sampled" in request or b"x-b3-spanid" in request or TRACEPARENT in request or b"b3" in request:
            return False
        roots = ids.roots
        trace_id, own, traceparent = roots.pop() if roots else ids.more_roots()
        request[b"x-b3-traceid"] = trace_id if wide else own
        request[b"x-b3-spanid"] = own
        request[b"x-b3-sampled"] = b"0"
        if w3c:
            request[TRACEPARENT] = traceparent if wide else b"00-" + _NO_SPAN + traceparent[19:]
        return True
    span_id = request.get(b"x-b3-spanid", b"")
    parent_id = request.get(b"x-b3-parentspanid", _NO_SPAN)
    if (
        request.get(b"x-b3-sampled") != b"0"
        or len(span_id) != 16
        or len(parent_id) != 16
        or (trace_id + span_id + parent_id).translate(None, _LOWER_HEX)
        or request.multi is not None
        or b"b3" in request
    ):
        return False
    if len(trace_id) == 32 and not trace_id.startswith(_NO_SPAN):
        wide_id = trace_id
    elif len(trace_id) == 16:
        wide_id = _NO_SPAN + trace_id
    else:
        return False
    spans = ids.spans
    own = spans.pop() if spans else ids.more_spans()
    request[b"x-b3-spanid"] = own
    request[b"x-b3-parentspanid"] = span_id
    if w3c:
        request[TRACEPARENT] = b"-".join((b"00", wide_id, own, b"00"))
    return True


def inject_zipkin(request: RequestHeaders, context: Context, w3c: bool) -> None:
    """B3 in the form that came (else in several headers), and traceparent where `w3c`."""
    flag = b"1" if context.sampled else b"0"
    multi = request.multi is not None
    if context.single:
        value = b"%b-%b-%b" % (context.trace_id, context.span_id, flag)
        _put(request, multi, b"b3", value if context.parent_id is None else value + b"-" + context.parent_id)
    else:
        _put(request, multi, b"x-b3-traceid", context.trace_id)
        _put(request, multi, b"x-b3-spanid", context.span_id)
        if context.parent_id is not None:
            _put(request, multi, b"x-b3-parentspanid", context.parent_id)
        _put(request, multi, b"x-b3-sampled", flag)
    if w3c:
        _put(
            request,
            multi,
            TRACEPARENT,
            b"00-%b-%b-0%b" % (context.trace_id.rjust(32, b"0"), context.span_id, flag),
        )


def _put(request: RequestHeaders, multi: bool, name: bytes, value: bytes) -> None:
    if multi:
        request.set(name, value)
    else:
        request[name] = value


def otel_context(request: RequestHeaders, traced: bool, ids: Ids) -> Context | None:
    """The context of our own span, by Envoy's OpenTelemetry tracer; None for a traceparent that makes no sense."""
    if TRACEPARENT not in request:
        return Context(ids.trace(), ids.span(), None, traced)
    found = _from_traceparent(request)
    if not isinstance(found, Context):
        return None
    state = b",".join(request.get_all(TRACESTATE))
    trace_id = found.trace_id.rjust(32, b"0")
    return Context(trace_id, ids.span(), found.span_id, found.sampled and traced, False, state)


def inject_otel(request: RequestHeaders, context: Context) -> None:
    """traceparent and tracestate, which is there even when it is empty."""
    flags = b"01" if context.sampled else b"00"
    multi = request.multi is not None
    _put(request, multi, TRACEPARENT, b"00-%b-%b-%b" % (context.trace_id, context.span_id, flags))
    _put(request, multi, TRACESTATE, context.state)


def child_of(context: Context, ids: Ids) -> Context:
    """A span below this one."""
    return context._replace(span_id=ids.span(), parent_id=context.span_id)


def _first(request: RequestHeaders, name: bytes) -> bytes | None:
    if request.multi is None:
        return request.get(name)
    lines = request.get_all(name)
    return lines[0] if lines else None
