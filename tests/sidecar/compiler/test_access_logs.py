from __future__ import annotations

import json

import pytest
from envoy.config.accesslog.v3.accesslog_pb2 import AccessLogFilter
from envoy.config.listener.v3.listener_pb2 import Listener

from sidecar.codec.headers import RequestHeaders
from sidecar.compiler.access_logs import compile_access_logs, compile_filter
from sidecar.config.listeners import AccessLog
from sidecar.config.rejected import At, Rejected
from sidecar.telemetry import response_flags
from sidecar.telemetry.stream_info import StreamInfo
from tests.sidecar.compiler.protos import FILE_LOG, STRANGER, proto

STDOUT = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"


def logs(kind: str, more: str = "", entry: str = "") -> tuple[AccessLog, ...]:
    text = f"{{access_log: [{{name: n, typed_config: {{'@type': {kind}{more}}}{entry}}}]}}"
    return compile_access_logs(proto(Listener, text).access_log, At("l"))


def info(status: int = 200, flags: int = 0, duration_ms: int = 0, path: bytes = b"/") -> StreamInfo:
    made = StreamInfo(0.0, 0)
    made.end_ns = duration_ms * 1_000_000
    made.response_code = status
    made.response_flags = flags
    made.request_headers = RequestHeaders(b"GET", path, b"h")
    return made


def test_text_to_a_file() -> None:
    (log,) = logs(
        FILE_LOG, ", path: /dev/stdout, log_format: {text_format_source: {inline_string: '%RESPONSE_CODE%!'}}"
    )
    assert (log.path, log.keep) == ("/dev/stdout", None)
    assert log.render(info(418)) == "418!"


def test_standard_streams_and_envoys_own_format() -> None:
    (log,) = logs(STDOUT)
    assert log.path == "/dev/stdout"
    assert '"GET / HTTP/1.1" 200' in log.render(info())


def test_json() -> None:
    (log,) = logs(FILE_LOG, ", path: /x, log_format: {json_format: {code: '%RESPONSE_CODE%'}}")
    assert json.loads(log.render(info(201))) == {"code": 201}


def test_empty_values_may_be_left_out() -> None:
    text = ", path: /x, log_format: {text_format: '[%UPSTREAM_HOST%]', omit_empty_values: %s}"
    assert logs(FILE_LOG, text.replace("%s", "false"))[0].render(info()) == "[-]"
    assert logs(FILE_LOG, text.replace("%s", "true"))[0].render(info()) == "[]"


def test_json_as_envoy_writes_it() -> None:
    """Both lines are the stock Envoy's own, 1.40."""
    form = "{a: '%REQ(x)%', b: 'x%REQ(x)%', c: {d: '%REQ(x)%', e: {f: '%REQ(x)%'}}, l: ['%REQ(x)%', z], num: 1}"
    text = f", path: /x, log_format: {{json_format: {form}, omit_empty_values: %s}}"
    kept = '{"a":null,"b":"x-","c":{"d":null,"e":{"f":null}},"l":[null,"z"],"num":1.0}\n'
    assert logs(FILE_LOG, text.replace("%s", "false"))[0].render(info()) == kept
    assert logs(FILE_LOG, text.replace("%s", "true"))[0].render(info()) == '{"b":"x","l":["z"],"num":1.0}\n'


CEL = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"


def test_cel() -> None:
    text = f"{{extension_filter: {{name: cel, typed_config: {{'@type': {CEL}, expression: 'response.code >= 400'}}}}}}"
    keep = compile_filter(proto(AccessLogFilter, text), At("l"))
    assert [keep(info(200)), keep(info(404))] == [False, True]
    bad = text.replace("response.code", "response.cod")
    with pytest.raises(Rejected, match=r"typed_config.expression: 'response.cod >= 400': position 9, .* not known"):
        compile_filter(proto(AccessLogFilter, bad), At("l"))
    with pytest.raises(Rejected, match=r"the filter 'cel' of type .* CEL expressions are"):
        compile_filter(
            proto(AccessLogFilter, text.replace(f"{{'@type': {CEL}, expression", f"{{'@type': {FILE_LOG}, path")),
            At("l"),
        )


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("{response_flag_filter: {flags: [NR, UH]}}", [info(flags=response_flags.NO_ROUTE_FOUND)], [info()]),
        ("{response_flag_filter: {}}", [info(flags=response_flags.FAULT_INJECTED)], [info()]),
        (
            "{status_code_filter: {comparison: {op: GE, value: {default_value: 400}}}}",
            [info(400), info(500)],
            [info(399)],
        ),
        ("{status_code_filter: {comparison: {op: LE, value: {default_value: 400}}}}", [info(400)], [info(401)]),
        ("{status_code_filter: {comparison: {op: EQ, value: {default_value: 400}}}}", [info(400)], [info(401)]),
        ("{status_code_filter: {comparison: {op: NE, value: {default_value: 400}}}}", [info(401)], [info(400)]),
        (
            "{duration_filter: {comparison: {op: GE, value: {default_value: 10}}}}",
            [info(duration_ms=10)],
            [info(duration_ms=9)],
        ),
        ("{not_health_check_filter: {}}", [info()], []),
        (
            "{header_filter: {header: {name: ':path', string_match: {exact: /a}}}}",
            [info(path=b"/a")],
            [info(path=b"/b")],
        ),
        (
            "{and_filter: {filters: [{not_health_check_filter: {}}, {response_flag_filter: {}}]}}",
            [info(flags=1)],
            [info()],
        ),
        (
            "{or_filter: {filters: [{response_flag_filter: {}}, "
            "{status_code_filter: {comparison: {op: GE, value: {default_value: 500}}}}]}}",
            [info(flags=1), info(500)],
            [info(200)],
        ),
    ],
)
def test_filters(text: str, yes: list[StreamInfo], no: list[StreamInfo]) -> None:
    keep = compile_filter(proto(AccessLogFilter, text), At("l"))
    assert all(keep(one) for one in yes)
    assert not any(keep(one) for one in no)


@pytest.mark.parametrize(
    ("kind", "more", "entry", "path", "reason"),
    [
        (STRANGER, "", "", "typed_config", "is not supported"),
        (FILE_LOG, "", "", "typed_config.path", "empty"),
        (FILE_LOG, ", path: /x, log_format: {text_format: '%NOPE%'}", "", "typed_config", "invalid format: .*NOPE"),
        (
            FILE_LOG,
            ", path: /x, log_format: {text_format_source: {filename: /etc/passwd}}",
            "",
            "typed_config.log_format.text_format_source",
            "only an inline_string",
        ),
        (FILE_LOG, ", path: /x, typed_json_format: {}", "", "typed_config.typed_json_format", "not supported"),
        (FILE_LOG, ", path: /x", ", filter: {}", "filter", "needs a filter"),
        (
            FILE_LOG,
            ", path: /x",
            ", filter: {extension_filter: {name: cel}}",
            "filter.extension_filter.typed_config",
            "not supported",
        ),
        (
            FILE_LOG,
            ", path: /x",
            ", filter: {response_flag_filter: {flags: [nr]}}",
            "filter.response_flag_filter.flags[0]",
            "is not a response flag",
        ),
    ],
)
def test_refuses(kind: str, more: str, entry: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        logs(kind, more, entry)
    assert caught.value.path == f"access_log[0].{path}"
