"""Access logs: to files and the standard streams, in text or JSON, with the filters that pick what is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.access_loggers.filters.cel.v3.cel_pb2 import ExpressionFilter
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StderrAccessLog, StdoutAccessLog
from google.protobuf.json_format import MessageToDict

from sidecar.compiler.ignored import check
from sidecar.config.listeners import AccessLog
from sidecar.config.protos import header_match, unpack
from sidecar.config.rejected import At
from sidecar.filters.predicates import headers_predicate
from sidecar.telemetry import response_flags
from sidecar.telemetry.cel import InvalidExpression, compile_expression
from sidecar.telemetry.formatter import DEFAULT_FORMAT, InvalidFormat, compile_json, compile_text
from sidecar.telemetry.stream_info import StreamInfo

Keep = Callable[[StreamInfo], bool]

_SINKS: dict[str, tuple[type[Any], str]] = {
    FileAccessLog.DESCRIPTOR.full_name: (FileAccessLog, ""),
    StdoutAccessLog.DESCRIPTOR.full_name: (StdoutAccessLog, "/dev/stdout"),
    StderrAccessLog.DESCRIPTOR.full_name: (StderrAccessLog, "/dev/stderr"),
}
_FLAGS = {letters: bit for bit, (letters, _) in response_flags.FLAGS.items()}
_MILLISECOND_NS = 1_000_000


def compile_access_logs(logs: Iterable[Any], at: At) -> tuple[AccessLog, ...]:
    """A list of envoy.config.accesslog.v3.AccessLog in the field `access_log`."""
    return tuple(_access_log(log, at.field("access_log", index)) for index, log in enumerate(logs))


def _access_log(log: Any, at: At) -> AccessLog:
    check(log, ("name", "filter", "typed_config"), at)
    keep = compile_filter(log.filter, at.field("filter")) if log.HasField("filter") else None
    kind = log.typed_config.type_url.rpartition("/")[2]
    place = at.field("typed_config")
    if kind not in _SINKS:
        place.reject(f"the access log {log.name!r} of type {kind or 'none'} is not supported; write to a file")
    message, path = _SINKS[kind]
    sink = unpack(log.typed_config, message, place)
    check(sink, ("path", "format", "json_format", "log_format"), place)
    path = path or sink.path
    if not path:
        place.field("path").reject("empty; give a file to write to")
    try:
        return _formatted(sink, path, keep, place)
    except InvalidFormat as error:
        place.reject(f"invalid format: {error}")


def _formatted(sink: Any, path: str, keep: Keep | None, at: At) -> AccessLog:
    kind = sink.WhichOneof("access_log_format")
    if kind == "json_format":
        return _json(MessageToDict(sink.json_format), path, keep)
    if kind == "log_format":
        form, at = sink.log_format, at.field("log_format")
        check(form, ("text_format", "json_format", "text_format_source", "omit_empty_values"), at)
        kind = form.WhichOneof("format")
        if kind == "json_format":
            return _json(MessageToDict(form.json_format), path, keep, form.omit_empty_values)
        if kind == "text_format_source":
            if form.text_format_source.WhichOneof("specifier") != "inline_string":
                at.field(kind).reject("only an inline_string is supported")
            return _text(form.text_format_source.inline_string, path, keep, form.omit_empty_values)
        return _text(form.text_format, path, keep, form.omit_empty_values)
    if kind == "typed_json_format":
        at.field(kind).reject("is not supported; use log_format")
    return _text(getattr(sink, "format", ""), path, keep, False)


def _text(text: str, path: str, keep: Keep | None, omit_empty: bool) -> AccessLog:
    text = text or DEFAULT_FORMAT
    render = compile_text(text, "" if omit_empty else "-")
    return AccessLog(path=path, render=render, keep=keep)


def _json(template: dict[str, Any], path: str, keep: Keep | None, omit_empty: bool = False) -> AccessLog:
    return AccessLog(path=path, render=compile_json(template, omit_empty), keep=keep)


def compile_filter(wanted: Any, at: At) -> Keep:
    """envoy.config.accesslog.v3.AccessLogFilter as a predicate of a finished request."""
    kind = wanted.WhichOneof("filter_specifier")
    if kind is None:
        at.reject("needs a filter")
    at = at.field(kind)
    one = getattr(wanted, kind)
    if kind in ("and_filter", "or_filter"):
        tests = [compile_filter(inner, at.field("filters", index)) for index, inner in enumerate(one.filters)]
        if kind == "and_filter":
            return lambda info: all(test(info) for test in tests)
        return lambda info: any(test(info) for test in tests)
    if kind == "status_code_filter":
        compare = _comparison(one.comparison)
        return lambda info: compare(info.response_code)
    if kind == "duration_filter":
        compare = _comparison(one.comparison)
        return lambda info: compare((info.end_ns - info.start_ns) // _MILLISECOND_NS)
    if kind == "not_health_check_filter":
        return lambda info: True
    if kind == "header_filter":
        test = headers_predicate(header_match(one.header, at.field("header")))
        return lambda info: info.request_headers is not None and test(info.request_headers)
    if kind == "response_flag_filter":
        return _response_flags(one, at)
    if kind == "extension_filter":
        return _extension(one, at)
    at.reject("this kind of access-log filter is not supported")


def _extension(wanted: Any, at: At) -> Keep:
    """envoy.config.accesslog.v3.ExtensionFilter: CEL is the one that there is."""
    place = at.field("typed_config")
    kind = wanted.typed_config.type_url.rpartition("/")[2]
    if kind != ExpressionFilter.DESCRIPTOR.full_name:
        place.reject(f"the filter {wanted.name!r} of type {kind or 'none'} is not supported; CEL expressions are")
    expression = unpack(wanted.typed_config, ExpressionFilter, place).expression
    try:
        return compile_expression(expression)
    except InvalidExpression as error:
        place.field("expression").reject(f"{expression!r}: {error}")


def _comparison(comparison: Any) -> Callable[[int], bool]:
    """envoy.config.accesslog.v3.ComparisonFilter: EQ, GE, LE, NE; a runtime override there is none."""
    value = int(comparison.value.default_value)
    if comparison.op == 1:
        return lambda number: number >= value
    if comparison.op == 2:
        return lambda number: number <= value
    if comparison.op == 3:
        return lambda number: number != value
    return lambda number: number == value


def _response_flags(wanted: Any, at: At) -> Keep:
    mask = 0
    for index, letters in enumerate(wanted.flags):
        # Envoy knows more flags than this proxy ever sets; those simply never match.
        if not letters.isalnum() or not letters.isupper():
            at.field("flags", index).reject(f"{letters!r} is not a response flag")
        mask |= _FLAGS.get(letters, 0)
    if not wanted.flags:
        return lambda info: info.response_flags != 0
    return lambda info: bool(info.response_flags & mask)
