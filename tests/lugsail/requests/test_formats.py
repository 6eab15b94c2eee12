from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.mesh_config import ACCESS_LOG_FORMAT
from lugsail.requests.formats import ISTIO_TEXT, JsonFormat, Reader, TextFormat, UnreadableFormat, reader_of

P = "productpage-v1.default"
LINE = (
    '[2026-11-21T11:14:21.017Z] "GET /details/0?x=1 HTTP/1.1" 503 UF,URX upstream_reset - "delayed connect error: 111" '
    '0 195 12 - "10.1.1.1" "curl/7.88.1 (x; y)" "880ecb83-1771" "details:9080" "127.51.2.1:9080" '
    "outbound|9080||details.default.svc.cluster.local 127.0.0.1:55218 127.51.1.2:15080 127.0.0.1:49536 - default"
)


def test_the_format_is_the_control_planes_own() -> None:
    assert ISTIO_TEXT == ACCESS_LOG_FORMAT


def test_reads_every_field_of_istios_text() -> None:
    line = TextFormat().read(P, LINE)
    assert line is not None
    assert (line.proxy, line.method, line.path, line.protocol) == (P, "GET", "/details/0?x=1", "HTTP/1.1")
    assert (line.code, line.flags, line.details) == (503, ("UF", "URX"), "upstream_reset")
    assert line.failure == "delayed connect error: 111"
    assert (line.duration_ms, line.user_agent, line.request_id) == (12, "curl/7.88.1 (x; y)", "880ecb83-1771")
    assert (line.authority, line.upstream_host) == ("details:9080", "127.51.2.1:9080")
    assert line.cluster == "outbound|9080||details.default.svc.cluster.local"
    assert (line.upstream_local, line.downstream_local) == ("127.0.0.1:55218", "127.51.1.2:15080")
    assert (line.downstream_remote, line.route_name) == ("127.0.0.1:49536", "default")
    assert line.start == pytest.approx(1795259661.017)


def test_what_is_not_known_is_empty() -> None:
    text = '[2026-11-21T11:14:21.017Z] "GET / HTTP/1.1" 0 DC - - "-" 0 0 - - "-" "-" "-" "-" "-" - - - - - -'
    line = TextFormat().read(P, text)
    assert line is not None
    assert (line.code, line.duration_ms, line.request_id, line.cluster, line.route_name) == (0, None, "", "", "")


@pytest.mark.parametrize(
    "other",
    [
        "",
        "2026-11-21 11:14:20,633 INFO sidecar.xds.client: xDS stream to 127.51.0.1:15010 is up",
        "[2026-11-21 11:14:20.633][12][info][main] all dependencies initialized",
        LINE[:-30],
        LINE.replace("503", "5x3"),
        LINE.replace("2026-11-21T", "2026-99-99T"),
        '[2026-11-21T11:14:21.017Z] "- - -" 0 - - - "-" 5 6 7 - "-" "-" "-" "-" "10.0.0.1:3306" c 1 2 3 - -',
        "{",
        "[]",
        '{"a": 1}',
        "{" * 5000,
    ],
)
def test_other_lines_are_no_requests(other: str) -> None:
    assert Reader().read(P, other.encode()) is None


def test_a_quotation_mark_in_a_user_agent_forges_nothing() -> None:
    forged = 'x" "forged-id" "forged:80" "1.2.3.4:80" outbound|80||forged.x.svc.cluster.local 1.1.1.1:1 2.2.2.2:2 3 - -'
    line = TextFormat().read(P, LINE.replace("curl/7.88.1 (x; y)", forged))
    assert line is not None
    assert (line.request_id, line.authority, line.upstream_host) == ("880ecb83-1771", "details:9080", "127.51.2.1:9080")
    assert line.code == 503


def test_a_hostile_line_is_read_in_linear_time() -> None:
    agent = '" "' * 15_000
    begun = time.perf_counter()
    line = Reader().read(P, LINE.replace("curl/7.88.1 (x; y)", agent).encode())
    assert line is not None and line.request_id == "880ecb83-1771"
    Reader().read(P, LINE.replace("curl/7.88.1 (x; y)", agent).encode()[:-20])
    assert time.perf_counter() - begun < 2.0


def test_lines_that_are_too_long_are_left_out() -> None:
    assert Reader().read(P, LINE.replace("curl", "x" * 70_000).encode()) is None


def test_json_as_istio_labels_it() -> None:
    raw = json.dumps(
        {
            "start_time": "2026-11-21T11:14:21.017Z",
            "method": "GET",
            "path": "/x",
            "response_code": 200,
            "response_flags": "-",
            "duration": 3,
            "request_id": "abc",
            "upstream_cluster": "inbound|9080||",
            "route_name": None,
        }
    )
    line = Reader().read(P, raw.encode())
    assert line is not None
    assert (line.code, line.flags, line.duration_ms, line.request_id, line.route_name) == (200, (), 3, "abc", "")


@pytest.mark.parametrize("hostile", [{"code": {}}, {"start_time": 5}, {"response_code": []}, {"response_code": "1e9"}])
def test_json_of_another_shape(hostile: dict[str, object]) -> None:
    good = {"start_time": "2026-11-21T11:14:21.017Z", "method": "GET", "path": "/"}
    assert JsonFormat().read(P, json.dumps(good | hostile)) is None


def test_formats_of_ones_own() -> None:
    text = "%START_TIME% %RESPONSE_CODE% %REQ(:METHOD)% %REQ(:PATH)% id=%REQ(X-REQUEST-ID)% %REQ(X-OTHER):8%"
    line = TextFormat(text).read(P, "2026-11-21T11:14:21.017Z 404 GET /x id=7 a b c")
    assert line is not None and (line.code, line.path, line.request_id) == (404, "/x", "7")
    labels = {"at": "%START_TIME%", "c": "%RESPONSE_CODE%", "m": "%REQ(:METHOD)%", "p": "%REQ(:PATH)%", "fixed": "x"}
    line = JsonFormat(labels).read(P, '{"at": "2026-11-21T11:14:21.017Z", "c": 204, "m": "PUT", "p": "/y"}')
    assert line is not None and (line.code, line.method) == (204, "PUT")


def test_a_format_that_tells_too_little_is_said() -> None:
    with pytest.raises(UnreadableFormat, match=r"it lacks %START_TIME%, %RESPONSE_CODE%"):
        TextFormat("%REQ(:METHOD)% %REQ(:PATH)%")
    _, notes = reader_of({"access_log_file": "/dev/stdout", "access_log_format": "%DURATION%\n"})
    assert len(notes) == 1 and "accessLogFormat of the mesh config cannot be read back" in notes[0]


@pytest.mark.parametrize(
    ("mesh", "note"),
    [
        ({"access_log_file": ""}, "no accessLogFile"),
        ({"access_log_file": "/var/log/a.log"}, "Access logs go to /var/log/a.log"),
        ({"access_log_file": "/dev/stdout", "access_log_json": True, "access_log_format": "{"}, "cannot be read back"),
        (
            {
                "access_log_file": "/dev/stdout",
                "providers": [{"name": "p", "envoyFileAccessLog": {"logFormat": {"text": "%DURATION%"}}}],
            },
            "provider p cannot be read back",
        ),
    ],
)
def test_what_people_must_know(mesh: dict[str, object], note: str) -> None:
    _, notes = reader_of(mesh)
    assert len(notes) == 1 and note in notes[0]


@given(st.text(), st.text(alphabet=st.characters(exclude_characters='"')), st.text())
def test_round_trip_of_whatever_a_client_sends(forwarded: str, agent: str, rest: str) -> None:
    raw = LINE.replace('"10.1.1.1"', f'"{forwarded}"').replace("curl/7.88.1 (x; y)", agent)
    line = Reader().read(P, raw.encode("utf-8", "surrogatepass"))
    assert line is not None
    assert (line.request_id, line.code) == ("880ecb83-1771", 503)
    Reader().read(P, rest.encode("utf-8", "surrogatepass"))


@given(st.binary())
def test_never_raises(raw: bytes) -> None:
    Reader().read(P, raw)
    Reader().read(P, b"{" + raw)
    Reader().read(P, LINE.encode() + raw)
