"""Envoy's command operators (`%REQ(X?Y):Z%`, `%RESPONSE_FLAGS%` …), compiled once to one function per format.

A format becomes the source of a single Python function that holds one f-string: no list of operators is walked per
request. Whatever comes from the user's text reaches that function as a constant in its namespace, never as code.
Text that is not UTF-8 survives unchanged, as surrogate escapes.

Source: Envoy, "Access log command operators"; the operators of request and response header changes are the same.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.telemetry import response_flags
from sidecar.telemetry.stream_info import StreamInfo

#: Envoy's access log where the configuration gives none.
DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%'
    " %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"
    ' "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)

_ERRORS = "surrogateescape"
_COMMAND = re.compile(r"%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%")
_NO_REQUEST = RequestHeaders(b"", b"")
_NO_RESPONSE = ResponseHeaders(0)


class InvalidFormat(ValueError):
    """The text is not a format that this proxy knows; the message says what and where."""


class _Expression(NamedTuple):
    """Python source that reads one fact of the request `i` (request head `q`, response head `p`)."""

    source: str
    kind: str  # "bytes", "text" or "number"
    optional: bool  # may evaluate to None


def compile_text(text: str, missing: str = "-") -> Callable[[StreamInfo], str]:
    """A function that fills in `text`; facts that are not known read `missing`.

    Raises InvalidFormat for an unknown operator, a wrong argument or a lone `%`.
    """
    namespace = _namespace()
    return _build(_fstring(_parse(text), namespace, missing), namespace)


def compile_substitution(value: bytes) -> bytes | Callable[[StreamInfo], bytes]:
    """The value of a header to set: bytes where nothing varies, else a function. Unknown facts are empty.

    Raises InvalidFormat as `compile_text`.
    """
    parts = _parse(value.decode("utf-8", _ERRORS))
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str)).encode("utf-8", _ERRORS)
    if len(parts) == 1 and isinstance(parts[0], _Command) and parts[0].name == "REQ" and parts[0].limit is None:
        return _header_copy(parts[0])
    namespace = _namespace()
    return _build(f"{_fstring(parts, namespace, '')}.encode('utf-8', 'surrogateescape')", namespace)


def compile_json(template: Mapping[str, Any], omit_empty: bool = False) -> Callable[[StreamInfo], str]:
    """One JSON object a line, from a template of nested objects, lists and format strings.

    A value that is one operator alone keeps its type (numbers stay numbers, unknown is null); else it is text, in
    which unknown facts read `-`. With `omit_empty`, what is unknown is left out, and reads "" in texts. Keys are
    sorted, as Envoy does.
    """
    make = _compile_json_value(template, omit_empty)

    def format_json(info: StreamInfo) -> str:
        return json.dumps(make(info), separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"

    return format_json


def _compile_json_value(value: Any, omit_empty: bool) -> Callable[[StreamInfo], Any]:
    if isinstance(value, Mapping):
        fields = [(name, _compile_json_value(one, omit_empty)) for name, one in value.items()]
        if omit_empty:
            return lambda info: {name: found for name, make in fields if (found := make(info)) not in _EMPTY}
        return lambda info: {name: make(info) for name, make in fields}
    if isinstance(value, list | tuple):
        items = [_compile_json_value(one, omit_empty) for one in value]
        if omit_empty:
            return lambda info: [found for make in items if (found := make(info)) not in _EMPTY]
        return lambda info: [make(info) for make in items]
    if not isinstance(value, str):
        return lambda info: value
    parts = _parse(value)
    if len(parts) != 1 or isinstance(parts[0], str):
        return compile_text(value, "" if omit_empty else "-")
    namespace = _namespace()
    return _build(_typed(parts[0], namespace), namespace)


#: What `omit_empty_values` leaves out.
_EMPTY: tuple[Any, ...] = (None, {}, [])


class _Command(NamedTuple):
    name: str
    argument: str | None
    limit: int | None


def _parse(text: str) -> list[str | _Command]:
    """Literal pieces and commands, in order; `%%` is a percent sign."""
    parts: list[str | _Command] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            parts.append(text[position:])
            break
        if percent > position:
            parts.append(text[position:percent])
        if text.startswith("%%", percent):
            parts.append("%")
            position = percent + 2
            continue
        match = _COMMAND.match(text, percent)
        if match is None:
            raise InvalidFormat(
                f"no command operator at position {percent} of the format {text!r}:"
                " expected %NAME%, %NAME(argument)% or %% for a percent sign"
            )
        name, argument, limit = match.groups()
        parts.append(_Command(name, argument, None if limit is None else int(limit)))
        position = match.end()
    return parts


def _fstring(parts: list[str | _Command], namespace: dict[str, Any], missing: str) -> str:
    # Adjacent literals and f-strings are one f-string to the compiler; repr() escapes what the user wrote.
    pieces = [repr(part) if isinstance(part, str) else 'f"{' + _text(part, namespace, missing) + '}"' for part in parts]
    return f"({' '.join(pieces) or repr('')})"


def _text(command: _Command, namespace: dict[str, Any], missing: str) -> str:
    """Source of the command's value as text, `missing` where it is not known."""
    expression = _expression(command, namespace)
    default = _constant(namespace, missing)
    source = expression.source
    if expression.kind == "bytes":
        value = _constant_name(namespace, "v")
        limit = "" if command.limit is None else f"[:{command.limit}]"
        return f"{value}{limit}.decode('utf-8', 'surrogateescape') if ({value} := {source}) is not None else {default}"
    if expression.optional:
        value = _constant_name(namespace, "v")
        return f"{value} if ({value} := {source}) is not None else {default}"
    return f"({source}) or {default}" if expression.kind == "text" else source


def _typed(command: _Command, namespace: dict[str, Any]) -> str:
    """Source of the command's value as JSON wants it: a number, text or None."""
    expression = _expression(command, namespace)
    if expression.kind == "number":
        return expression.source
    if expression.kind == "bytes":
        limit = "" if command.limit is None else f"[:{command.limit}]"
        return f"str(v{limit}, 'utf-8', 'replace') if (v := {expression.source}) is not None else None"
    return f"({expression.source}) or None"


def _build(source: str, namespace: dict[str, Any]) -> Callable[[StreamInfo], Any]:
    text = (
        "def format_info(i):\n"
        "    q = i.request_headers\n"
        "    if q is None: q = no_request\n"
        "    request_header = q.get if q.multi is None else partial(first, q)\n"
        "    p = i.response_headers\n"
        "    if p is None: p = no_response\n"
        "    response_header = p.get if p.multi is None else partial(first, p)\n"
        f"    return {source}\n"
    )
    exec(compile(text, "<format>", "exec"), namespace)
    built: Callable[[StreamInfo], Any] = namespace["format_info"]
    return built


def _namespace() -> dict[str, Any]:
    return {
        "no_request": _NO_REQUEST,
        "no_response": _NO_RESPONSE,
        "first": _first_line,
        "partial": partial,
        "short": response_flags.short,
        "long": _flags_long,
    }


def _first_line(headers: Headers, name: bytes) -> bytes | None:
    """Of a header that came on several lines, the operators see the first one."""
    lines = headers.get_all(name)
    return lines[0] if lines else None


def _constant(namespace: dict[str, Any], value: Any) -> str:
    name = _constant_name(namespace, "c")
    namespace[name] = value
    return name


def _constant_name(namespace: dict[str, Any], letter: str) -> str:
    name = f"{letter}{len(namespace)}"
    namespace[name] = None
    return name


_PSEUDO_SOURCE = {":method": "q.method", ":path": "q.path", ":authority": "q.authority", ":scheme": "q.scheme"}


def _request_header(name: str, namespace: dict[str, Any]) -> str:
    name = "authority" if name == "host" else name
    if name == "authority":
        return "(q.authority or None)"
    if name in _PSEUDO_SOURCE:
        return f"({_PSEUDO_SOURCE[name]} or None)"
    return f"request_header({_constant(namespace, name.encode())})"


def _response_header(name: str, namespace: dict[str, Any]) -> str:
    if name == ":status":
        return "(b'%d' % p.status if p.status else None)"
    return f"response_header({_constant(namespace, name.encode())})"


def _header(command: _Command, namespace: dict[str, Any], one: Callable[[str, dict[str, Any]], str]) -> _Expression:
    names = [name.strip().lower() for name in (command.argument or "").split("?")]
    if not names[0] or len(names) > 2:
        raise InvalidFormat(f"%{command.name}({command.argument or ''})%: expected a header name, or two as X?Y")
    source = one(names[0], namespace)
    if len(names) == 2:
        first = _constant_name(namespace, "h")
        source = f"({first} if ({first} := {source}) is not None else {one(names[1], namespace)})"
    return _Expression(source, "bytes", True)


def _header_copy(command: _Command) -> Callable[[StreamInfo], bytes]:
    """The commonest substitution, one request header, without a detour over text."""
    namespace = _namespace()
    expression = _header(command, namespace, _request_header)
    return _build(f"v if (v := {expression.source}) is not None else b''", namespace)


def _milliseconds(start: str, end: str) -> _Expression:
    known = f"i.{end} >= 0 and i.{start} >= 0"
    return _Expression(f"((i.{end} - i.{start}) // 1000000 if {known} else None)", "number", True)


def _host_of(field: str) -> _Expression:
    return _Expression(f"i.{field}.rpartition(':')[0].strip('[]')", "text", False)


def _port_of(field: str) -> _Expression:
    return _Expression(f"(int(i.{field}.rpartition(':')[2]) if ':' in i.{field} else None)", "number", True)


def _field(name: str) -> _Expression:
    return _Expression(f"i.{name}", "text", False)


#: Operator → the Python that reads it. Operators that take an argument are in `_expression`.
_PLAIN: dict[str, _Expression] = {
    "PROTOCOL": _field("protocol"),
    "RESPONSE_CODE": _Expression("i.response_code", "number", False),
    "RESPONSE_FLAGS": _Expression("(short(i.response_flags) if i.response_flags else '-')", "text", False),
    "RESPONSE_FLAGS_LONG": _Expression("(long(i.response_flags) if i.response_flags else '-')", "text", False),
    "CONNECTION_TERMINATION_DETAILS": _field("connection_termination_details"),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": _field("upstream_transport_failure_reason"),
    "BYTES_RECEIVED": _Expression("i.bytes_received", "number", False),
    "BYTES_SENT": _Expression("i.bytes_sent", "number", False),
    "DURATION": _milliseconds("start_ns", "end_ns"),
    "REQUEST_DURATION": _milliseconds("start_ns", "request_end_ns"),
    "RESPONSE_DURATION": _milliseconds("start_ns", "upstream_first_byte_ns"),
    "RESPONSE_TX_DURATION": _milliseconds("upstream_first_byte_ns", "end_ns"),
    "UPSTREAM_HOST": _field("upstream_host"),
    "UPSTREAM_REMOTE_ADDRESS": _field("upstream_host"),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("upstream_host"),
    "UPSTREAM_REMOTE_PORT": _port_of("upstream_host"),
    "UPSTREAM_CLUSTER": _Expression(
        "((i.cluster.stat_name if i.cluster is not None else '') or i.upstream_cluster)", "text", False
    ),
    "UPSTREAM_CLUSTER_RAW": _field("upstream_cluster"),
    "UPSTREAM_LOCAL_ADDRESS": _field("upstream_local_address"),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _Expression("i.attempt_count", "number", False),
    "DOWNSTREAM_LOCAL_ADDRESS": _field("downstream_local_address"),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _host_of("downstream_local_address"),
    "DOWNSTREAM_LOCAL_PORT": _port_of("downstream_local_address"),
    "DOWNSTREAM_REMOTE_ADDRESS": _field("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_PORT": _port_of("downstream_remote_address"),
    "REQUESTED_SERVER_NAME": _field("requested_server_name"),
    "ROUTE_NAME": _Expression("(i.route.name if i.route is not None else None) or None", "text", True),
}


def _expression(command: _Command, namespace: dict[str, Any]) -> _Expression:
    name, argument = command.name, command.argument
    if name == "REQ":
        return _header(command, namespace, _request_header)
    if name == "RESP":
        return _header(command, namespace, _response_header)
    if command.limit is not None:
        raise InvalidFormat(f"%{name}:{command.limit}%: only REQ and RESP take a length")
    if name == "START_TIME":
        clock = _constant(namespace, _time_formatter(argument or ""))
        return _Expression(f"{clock}(i.start_time_s)", "text", False)
    if name == "HOSTNAME":
        return _Expression(_constant(namespace, os.uname().nodename), "text", False)
    if name == "RESPONSE_CODE_DETAILS":
        if argument not in (None, "", "ALLOW_WHITESPACES"):
            raise InvalidFormat(f"%RESPONSE_CODE_DETAILS({argument})%: the only argument it knows is ALLOW_WHITESPACES")
        return _field("response_code_details" if argument else "response_code_details.replace(' ', '_')")
    expression = _PLAIN.get(name)
    if expression is None:
        raise InvalidFormat(f"%{name}% is not a command operator that this proxy knows")
    if argument:
        raise InvalidFormat(f"%{name}({argument})%: {name} takes no argument")
    return expression


def _flags_long(flags: int) -> str:
    return ",".join(name for bit, (_, name) in response_flags.FLAGS.items() if flags & bit)


#: Stand-ins for what strftime does not know, until its answer is there.
_EPOCH, _FRACTION = "\x01s", "\x01f"
_MILLIS = tuple(f"{millis:03d}" for millis in range(1000))
_TIME_TOKEN = re.compile(r"%(?:(?P<digits>[1-9])?f|E(?P<second_digits>[0-9*])S|(?P<epoch>s))")


def _time_formatter(text: str) -> Callable[[float], str]:
    """strftime in UTC, with Envoy's %f, %3f … (fraction of the second), %E3S (seconds with fraction) and %s.

    What does not change within a second is formatted once a second.
    """
    pattern = text or "%Y-%m-%dT%H:%M:%E3SZ"
    fractions: list[int] = []

    def replace(match: re.Match[str]) -> str:
        if match["epoch"]:
            return _EPOCH
        if match["second_digits"]:
            fractions.append(9 if match["second_digits"] == "*" else int(match["second_digits"]))
            return "%S." + _FRACTION if fractions[-1] else "%S" + _FRACTION
        fractions.append(int(match["digits"] or 9))
        return _FRACTION

    prepared = _TIME_TOKEN.sub(replace, pattern)
    last_second = -1
    pieces: list[str] = [""]

    def refresh(second: int) -> None:
        nonlocal last_second, pieces
        filled = time.strftime(prepared.replace(_EPOCH, str(second)), time.gmtime(second))
        pieces = filled.split(_FRACTION)
        last_second = second

    if fractions == [3]:

        def format_millis(when_s: float) -> str:
            millis = int(when_s * 1000)
            if millis // 1000 != last_second:
                refresh(millis // 1000)
            return pieces[0] + _MILLIS[millis % 1000] + pieces[1]

        return format_millis

    def format_time(when_s: float) -> str:
        second = int(when_s)
        if second != last_second:
            refresh(second)
        nanos = f"{int((when_s - second) * 1e9):09d}"
        shown = [pieces[0]]
        for digits, rest in zip(fractions, pieces[1:], strict=True):
            shown += (nanos[:digits], rest)
        return "".join(shown)

    return format_time
