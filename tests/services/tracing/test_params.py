"""Parameters of Jaeger's query API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from services.tracing.query.durations import parse_duration, write_duration
from services.tracing.query.params import (
    BadParameter,
    parse_dependencies,
    parse_logfmt,
    parse_rfc3339,
    parse_trace_id,
    parse_traces_query,
    parse_v3_search,
)

NOW = 1_700_000_000_000_000
HOUR = 3600 * 1_000_000


def query(*pairs: tuple[str, str]) -> MultiDict[str]:
    return MultiDict(pairs)


def test_what_jaegers_ui_sends() -> None:
    found = parse_traces_query(
        query(
            ("service", "reviews.default"),
            ("operation", "GET /"),
            ("start", "1699990000000000"),
            ("end", "1699999999000000"),
            ("limit", "20"),
            ("lookback", "1h"),
            ("minDuration", "1.5ms"),
            ("maxDuration", "2s"),
            ("tags", '{"http.status_code":"503","error":"true"}'),
        ),
        NOW,
    )
    search = found.search
    assert found.trace_ids == ()
    assert (search.service, search.operation, search.limit) == ("reviews.default", "GET /", 20)
    assert (search.start_us, search.end_us) == (1699990000000000, 1699999999000000)
    assert (search.min_duration_us, search.max_duration_us) == (1500, 2_000_000)
    assert search.tags == {"http.status_code": "503", "error": "true"}


def test_defaults() -> None:
    search = parse_traces_query(query(("service", "s")), NOW).search
    assert (search.start_us, search.end_us, search.limit) == (NOW - 48 * HOUR, NOW, 100)


def test_lookback_counts_where_no_start_is_given() -> None:
    assert parse_traces_query(query(("service", "s"), ("lookback", "2d")), NOW).search.start_us == NOW - 48 * HOUR
    assert parse_traces_query(query(("service", "s"), ("lookback", "10m")), NOW).search.start_us == NOW - HOUR // 6


def test_request_id_needs_no_service() -> None:
    search = parse_traces_query(query(("requestId", " abc ")), NOW).search
    assert search.tags == {"guid:x-request-id": "abc"}


def test_several_trace_ids() -> None:
    found = parse_traces_query(query(("traceID", "1"), ("traceID", "AB" * 16)), NOW)
    assert found.trace_ids == (bytes(15) + b"\1", b"\xab" * 16)


def test_large_limits_are_cut() -> None:
    assert parse_traces_query(query(("service", "s"), ("limit", "99999")), NOW).search.limit == 1500


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ((), "parameter 'service' is required"),
        ((("service", "s"), ("start", "x")), "unable to parse param 'start'"),
        ((("service", "s"), ("start", "9" * 25)), "does not fit 64 bits"),
        ((("service", "s"), ("limit", "0")), "unable to parse param 'limit'"),
        ((("service", "s"), ("minDuration", "5")), "unable to parse param 'minDuration'"),
        ((("service", "s"), ("minDuration", "2s"), ("maxDuration", "1s")), "'maxDuration' should be greater"),
        ((("service", "s"), ("tag", "a")), "malformed 'tag' parameter, expecting key:value, received: a"),
        ((("service", "s"), ("tags", "{")), "malformed 'tags' parameter, cannot unmarshal JSON"),
        ((("service", "s"), ("tags", '{"a":1}')), "it must be an object of strings"),
        ((("service", "s"), ("tags", 'a="b')), "malformed 'tags' parameter at 'a="),
        ((("traceID", "xyz"),), "cannot parse traceID param"),
        ((("service", "s"), ("lookback", "soon")), "unable to parse param 'lookback'"),
    ],
)
def test_wrong_ones_are_named(pairs: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(BadParameter) as caught:
        parse_traces_query(query(*pairs), NOW)
    assert said in str(caught.value)


def test_tags_as_people_type_them() -> None:
    assert parse_logfmt(r'http.status_code=503 error  user="a \"b\" c" empty=') == {
        "http.status_code": "503",
        "error": "true",
        "user": 'a "b" c',
        "empty": "",
    }


def test_a_tag_value_may_have_colons() -> None:
    search = parse_traces_query(query(("service", "s"), ("tag", "peer:10.0.0.1:80")), NOW).search
    assert search.tags == {"peer": "10.0.0.1:80"}


def test_dependencies() -> None:
    assert parse_dependencies(query(("endTs", "5000"), ("lookback", "2000")), 1) == (3_000_000, 5_000_000)
    assert parse_dependencies(query(), 86_400_000) == (0, 86_400_000_000)


def test_v3() -> None:
    search = parse_v3_search(
        query(
            ("query.service_name", "s"),
            ("query.start_time_min", "2023-11-14T22:13:20.123456789Z"),
            ("query.start_time_max", "2023-11-14T23:13:20+00:00"),
            ("query.num_traces", "7"),
            ("query.duration_min", "1ms"),
        )
    )
    assert (search.start_us, search.end_us) == (NOW + 123456, NOW + HOUR)
    assert (search.limit, search.min_duration_us) == (7, 1000)


def test_v3_needs_times() -> None:
    with pytest.raises(BadParameter, match=r"query\.start_time_min and query\.start_time_max are required"):
        parse_v3_search(query(("query.service_name", "s")))
    with pytest.raises(BadParameter, match=r"malformed parameter x: .* no time zone"):
        parse_rfc3339("2023-11-14T22:13:20", "x")


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1h30m", 5_400_000_000),
        ("1.5s", 1_500_000),
        ("100us", 100),
        ("100µs", 100),
        ("1500ns", 2),
        ("0", 0),
        (".5ms", 500),
    ],
)
def test_durations(text: str, us: int) -> None:
    assert parse_duration(text) == us


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s ", "-1s", "1e3s", "٣s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(-(10**12), 10**12))
def test_durations_are_written_as_they_are_read(us: int) -> None:
    text = write_duration(us)
    assert parse_duration(text.removeprefix("-")) == abs(us)
    assert text.startswith("-") == (us < 0)


@given(st.text(max_size=40))
def test_any_text_as_any_parameter(text: str) -> None:
    for name in ("start", "end", "limit", "minDuration", "tags", "tag", "traceID", "lookback", "requestId"):
        try:
            parse_traces_query(query(("service", "s"), (name, text)), NOW)
        except BadParameter as error:
            assert str(error)


@given(st.text("0123456789abcdefABCDEF", min_size=1, max_size=32))
def test_trace_ids(text: str) -> None:
    if int(text, 16) == 0:
        with pytest.raises(BadParameter):
            parse_trace_id(text)
    else:
        assert int.from_bytes(parse_trace_id(text), "big") == int(text, 16)
