"""Our formatter against the real Envoy: the same formats, the same request, line by line."""

from __future__ import annotations

import http.client
import json
import pathlib
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.agent.envoy import EnvoyNotFound, find_envoy
from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.telemetry.formatter import compile_json, compile_substitution, compile_text
from sidecar.telemetry.stream_info import StreamInfo
from tests.sidecar.loopback import own_ip

IP, PORT = own_ip(92), 18080
HCM_TYPE = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
BODY = b"hello from the proxy\n"

#: Nothing here depends on time or on a port that the kernel chooses.
FORMATS = [
    "100%% {x} \"q\" \\ 'n'",
    "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%",
    "%REQ(:PATH):7%|%REQ(:AUTHORITY)%|%REQ(:SCHEME)%|%REQ(Host)%",
    "%REQ(x-one)%|%REQ(X-EMPTY)%|%REQ(X-MISSING)%|%REQ(X-MISSING?X-ONE):2%|%REQ(X-EMPTY?X-ONE)%",
    "%REQ(x-twice)%",
    "%RESP(:STATUS)%|%RESP(CONTENT-TYPE)%|%RESP(X-MISSING)%",
    "%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_FLAGS_LONG%|%RESPONSE_CODE_DETAILS%",
    "%CONNECTION_TERMINATION_DETAILS%|%UPSTREAM_TRANSPORT_FAILURE_REASON%|%BYTES_RECEIVED%|%BYTES_SENT%",
    "%UPSTREAM_HOST%|%UPSTREAM_CLUSTER%|%UPSTREAM_CLUSTER_RAW%|%UPSTREAM_LOCAL_ADDRESS%|%UPSTREAM_REMOTE_PORT%",
    "%DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%REQUESTED_SERVER_NAME%|%ROUTE_NAME%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "%RESPONSE_DURATION%|%RESPONSE_TX_DURATION%|%HOSTNAME%",
]
JSON_FORMAT: dict[str, Any] = {
    "z_status": "%RESPONSE_CODE%",
    "a_path": "%REQ(:PATH)%",
    "missing": "%REQ(X-MISSING)%",
    "mixed": "%REQ(X-MISSING)%/%BYTES_SENT%",
    "empty": "%REQ(X-EMPTY)%",
    "nested": {"b": "%BYTES_SENT%", "a": ["%ROUTE_NAME%", "x"]},
}
ADDED_HEADERS = {
    "x-plain": "v",
    "x-percent": "100%%",
    "x-copy": "%REQ(x-one)%",
    "x-missing": "%REQ(x-missing)%",
    "x-mixed": "%REQ(x-missing)%/%PROTOCOL%/%REQ(x-one):2%",
    "x-host": "%UPSTREAM_HOST%",
}


def bootstrap(folder: pathlib.Path) -> dict[str, Any]:
    file_log = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    route = {
        "name": "greeting",
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": BODY.decode()}},
        "response_headers_to_add": [{"header": {"key": key, "value": text}} for key, text in ADDED_HEADERS.items()],
    }
    text = "".join(f"{one}\n" for one in FORMATS)
    manager = {
        "@type": HCM_TYPE,
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": file_log,
                    "path": str(folder / "text.log"),
                    "log_format": {"text_format_source": {"inline_string": text}},
                },
            },
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": file_log,
                    "path": str(folder / "json.log"),
                    "log_format": {"json_format": JSON_FORMAT},
                },
            },
        ],
    }
    listener = {
        "name": "x",
        "address": {"socket_address": {"address": IP, "port_value": PORT}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener]}}


def ask(envoy: subprocess.Popen[bytes]) -> dict[str, str]:
    """One request to Envoy; the answer's headers."""
    deadline = time.monotonic() + 10
    while True:
        connection = http.client.HTTPConnection(IP, PORT, timeout=5)
        try:
            connection.putrequest("POST", "/reviews/0?x=1")
            for name, value in (("x-one", "two"), ("x-empty", ""), ("x-twice", "a"), ("x-twice", "b")):
                connection.putheader(name, value)
            connection.putheader("content-length", "0")
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.read() == BODY
            return {name.lower(): value for name, value in answer.getheaders()}
        except ConnectionRefusedError:
            assert time.monotonic() < deadline and envoy.poll() is None, "Envoy does not start"
            time.sleep(0.02)
        finally:
            connection.close()


def the_same_request() -> StreamInfo:
    info = StreamInfo(1.0, 1)
    head = info.request_headers = RequestHeaders(b"POST", b"/reviews/0?x=1", f"{IP}:{PORT}".encode())
    for name, value in ((b"x-one", b"two"), (b"x-empty", b""), (b"x-twice", b"a"), (b"x-twice", b"b")):
        head.add(name, value)
    answer = info.response_headers = ResponseHeaders(200)
    answer[b"content-type"] = b"text/plain"
    info.response_code, info.response_code_details = 200, "direct_response"
    info.bytes_received, info.bytes_sent = 0, len(BODY)
    info.downstream_local_address = f"{IP}:{PORT}"
    info.downstream_remote_address = "127.0.0.1:1"
    info.route = SimpleNamespace(name="greeting")  # type: ignore[assignment]
    return info


@pytest.mark.envoy
def test_envoy_prints_the_same(tmp_path: pathlib.Path) -> None:
    try:
        binary = find_envoy()
    except EnvoyNotFound as error:
        pytest.skip(str(error))
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(bootstrap(tmp_path)))
    command = [binary, "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    envoy = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        headers = ask(envoy)
    finally:
        envoy.terminate()
        _, errors = envoy.communicate(timeout=10)
    assert not errors, errors.decode()
    info = the_same_request()
    ours = [compile_text(one)(info) for one in FORMATS]
    assert ours == (tmp_path / "text.log").read_text().splitlines()
    assert compile_json(JSON_FORMAT)(info) == (tmp_path / "json.log").read_text()
    for name, value in ADDED_HEADERS.items():
        made = compile_substitution(value.encode())
        text = made if isinstance(made, bytes) else made(info)
        assert text.decode() == headers.get(name, ""), name
