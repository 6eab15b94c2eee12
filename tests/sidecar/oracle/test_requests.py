"""A table of raw requests, sent to the Python proxy and to the stock Envoy: the answers must be the same.

Compared are the status line, the headers (names and values, order apart), the body (which for most paths is the head
that the upstream received), whether the connection stays open, and the access log.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.ports import free_port, free_ports
from tests.sidecar.oracle.config import bootstrap, cluster, listener
from tests.sidecar.oracle.proxies import ENVOY, PythonProxy, start_envoy
from tests.sidecar.oracle.upstream import Upstream

pytestmark = [pytest.mark.envoy, pytest.mark.skipif(not ENVOY.exists(), reason="the stock Envoy is not installed")]

HOST = b"Host: app:9080\r\n"
_TARGET = {"cluster": "app", "timeout": "0.4s"}
_PLAIN = {"cluster": "app", "timeout": "0s"}


def _retries(**more: Any) -> dict[str, Any]:
    back_off = {"base_interval": "0.001s", "max_interval": "0.002s"}
    return {"retry_on": "5xx,reset,connect-failure", "num_retries": 2, "retry_back_off": back_off, **more}


ROUTES: dict[str, Any] = {
    "name": "main",
    "validate_clusters": False,
    "virtual_hosts": [
        {
            "name": "app",
            "domains": ["app:9080", "app"],
            "include_request_attempt_count": True,
            "routes": [
                {"match": {"path": "/slow"}, "route": _TARGET, "name": "slow"},
                {
                    "match": {"path": "/slow-limited"},
                    "route": {
                        **_PLAIN,
                        "prefix_rewrite": "/slow",
                        "max_stream_duration": {"max_stream_duration": "0.3s"},
                    },
                    "name": "limited",
                },
                {"match": {"prefix": "/drop"}, "route": {"cluster": "drop", "timeout": "0s"}, "name": "drop"},
                {
                    "match": {"prefix": "/code"},
                    "route": {**_PLAIN, "prefix_rewrite": "/status/404"},
                    "response_headers_to_add": [{"header": {"key": "x-code", "value": "%RESPONSE_CODE%"}}],
                },
                {
                    "match": {"prefix": "/direct-code"},
                    "direct_response": {"status": 418, "body": {"inline_string": "teapot"}},
                    "response_headers_to_add": [{"header": {"key": "x-code", "value": "%RESPONSE_CODE%"}}],
                },
                {"match": {"prefix": "/dead"}, "route": {"cluster": "dead", "timeout": "0s"}, "name": "dead"},
                {"match": {"prefix": "/none"}, "route": {"cluster": "none", "timeout": "0s"}, "name": "none"},
                {"match": {"prefix": "/missing"}, "route": {"cluster": "missing", "timeout": "0s"}, "name": "missing"},
                {
                    "match": {"prefix": "/retry-dead"},
                    "route": {"cluster": "dead", "timeout": "0s", "retry_policy": _retries()},
                    "name": "retry-dead",
                },
                {
                    "match": {"prefix": "/retry/"},
                    "route": {**_PLAIN, "prefix_rewrite": "/", "retry_policy": _retries()},
                    "name": "retry",
                },
                {"match": {"prefix": "/old"}, "route": {**_PLAIN, "prefix_rewrite": "/new"}, "name": "rewrite"},
                {"match": {"prefix": "/moved"}, "redirect": {"host_redirect": "there", "path_redirect": "/x"}},
                {
                    "match": {"prefix": "/direct"},
                    "direct_response": {"status": 418, "body": {"inline_string": "teapot"}},
                    "response_headers_to_add": [{"header": {"key": "x-direct", "value": "yes"}}],
                },
                {
                    "match": {"prefix": "/fault"},
                    "route": _PLAIN,
                    "typed_per_filter_config": {
                        "envoy.filters.http.fault": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
                            "abort": {"http_status": 555, "percentage": {"numerator": 100}},
                        }
                    },
                },
                {
                    "match": {"prefix": "/headers"},
                    "route": {**_PLAIN, "host_rewrite_literal": "elsewhere"},
                    "request_headers_to_add": [{"header": {"key": "x-added", "value": "%REQ(x-case)%"}}],
                    "request_headers_to_remove": ["x-secret"],
                    "response_headers_to_add": [{"header": {"key": "x-answer", "value": "1"}}],
                },
                {"match": {"prefix": "/timed"}, "route": {"cluster": "app", "timeout": "5s"}, "name": "timed"},
                {"match": {"prefix": "/"}, "route": _PLAIN, "name": "default"},
            ],
        }
    ],
}


@dataclass(frozen=True)
class Case:
    """`parts` are sent one after the other, with a pause between."""

    name: str
    parts: tuple[bytes, ...]
    edge: bool = False
    ignore: frozenset[str] = field(default_factory=frozenset)


def get(path: str = "/", extra: bytes = b"", method: str = "GET", version: str = "1.1", host: bytes = HOST) -> bytes:
    return f"{method} {path} HTTP/{version}\r\n".encode() + host + extra + b"\r\n"


def post(body: bytes, path: str = "/", extra: bytes = b"") -> bytes:
    return get(path, extra + b"Content-Length: %d\r\n" % len(body), "POST") + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CASES = [
    Case("plain", (get(),)),
    Case("query", (get("/a/b?c=d&e=%20"),)),
    Case("mixed-case-names", (get("/", b"X-FoO: Bar\r\nACCEPT: */*\r\n"),)),
    Case("repeated-header", (get("/", b"X-R: 1\r\nX-R: 2\r\n"),)),
    Case("empty-value", (get("/", b"X-E:\r\n"),)),
    Case("blanks-around-value", (get("/", b"X-E: \t v \t\r\n"),)),
    Case("head", (get("/", method="HEAD"),)),
    Case("post", (post(b"hello"),)),
    Case("post-in-pieces", (post(b"hello")[:-3], b"llo")),
    Case("post-without-length", (get("/", method="POST"),)),
    Case("put-empty", (get("/", b"Content-Length: 0\r\n", "PUT"),)),
    Case("delete", (get("/", method="DELETE"),)),
    Case("options", (get("/", method="OPTIONS"),)),
    Case("options-asterisk", (get("*", method="OPTIONS"),)),
    Case("patch", (get("/", method="PATCH"),)),
    Case("chunked-request", (get("/", CHUNKED, "POST") + b"3\r\nabc\r\n0\r\n\r\n",)),
    Case("pipelined", (get("/one") + get("/two"),)),
    Case("pipelined-local", (get("/direct") + get("/two") + get("/direct"),)),
    Case("pipelined-then-garbage", (get("/one") + get("/two") + b"nonsense\r\n\r\n",)),
    Case("pipelined-then-bad-head", (get("/one") + get("/two", b"Content-Length: x\r\n"),)),
    Case("two-in-turn", (get("/one"), get("/two"))),
    Case("connection-close", (get("/", b"Connection: close\r\n"),)),
    Case("connection-keep-alive", (get("/", b"Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"),)),
    Case("connection-names-header", (get("/", b"Connection: x-foo, keep-alive\r\nX-Foo: 1\r\n"),)),
    Case("te-trailers", (get("/", b"TE: trailers\r\n"),)),
    Case("te-other", (get("/", b"TE: gzip\r\n"),)),
    Case("http-10", (get("/", version="1.0"),)),
    Case("no-host", (get("/", host=b""),)),
    Case("two-hosts", (get("/", b"Host: other\r\n"),)),
    Case("unknown-host", (get("/", host=b"Host: nobody\r\n"),)),
    Case("host-upper-case", (get("/", host=b"Host: APP:9080\r\n"),)),
    Case("absolute-form", (b"GET http://app:9080/abs?x HTTP/1.1\r\nHost: ignored\r\n\r\n",)),
    Case("absolute-form-without-path", (b"GET http://app:9080 HTTP/1.1\r\nHost: ignored\r\n\r\n",)),
    Case("absolute-https", (b"GET https://app:9080/x HTTP/1.1\r\nHost: ignored\r\n\r\n",)),
    Case("absolute-ftp", (b"GET ftp://app:9080/x HTTP/1.1\r\nHost: ignored\r\n\r\n",)),
    Case("connect", (b"CONNECT app:9080 HTTP/1.1\r\nHost: app:9080\r\n\r\n",)),
    Case("fragment", (get("/a#b"),)),
    Case("dot-segments", (get("/a/./b/../c"),)),
    Case("dot-segments-escaped", (get("/a/%2e%2e/b%41%2f%7e"),)),
    Case("double-slash", (get("//a//b"),)),
    Case("backslash", (get("/a\\b"),)),
    Case("expect-continue", (get("/", b"Expect: 100-continue\r\nContent-Length: 3\r\n", "POST"), b"abc")),
    Case("early-hints", (get("/hints"),)),
    Case("chunked-response", (get("/chunked"),)),
    Case("until-close", (get("/until-close"),)),
    Case("hop-by-hop-response", (get("/hop"),)),
    Case("empty-response", (get("/empty"),)),
    Case("status-204", (get("/status/204"),)),
    Case("status-304", (get("/status/304"),)),
    Case("status-404", (get("/status/404"),)),
    Case("status-500", (get("/status/500"),)),
    Case("status-599", (get("/status/599"),)),
    Case("upstream-closes", (get("/close"),)),
    Case("upstream-garbage", (get("/garbage"),)),
    Case("upstream-half", (get("/half"),)),
    Case("timeout", (get("/slow"),)),
    Case("expected-timeout-header", (get("/timed"),)),
    Case("connect-refused", (get("/dead"),)),
    Case("no-endpoints", (get("/none"),)),
    Case("no-cluster", (get("/missing"),)),
    Case("retry-exhausted", (get("/retry/status/503"),)),
    Case("retry-reset", (get("/retry/close"),)),
    Case("retry-refused", (get("/retry-dead"),)),
    Case("retry-post", (post(b"body", "/retry/status/500"),)),
    Case("rewrite", (get("/old/x?y"),)),
    Case("redirect", (get("/moved/a?b"),)),
    Case("direct", (get("/direct"),)),
    Case("direct-head", (get("/direct", method="HEAD"),)),
    Case("fault", (get("/fault"),)),
    Case("header-mutations", (get("/headers", b"X-Secret: 1\r\n"),)),
    Case("grpc-local-reply", (get("/none", b"Content-Type: application/grpc\r\nTE: trailers\r\n", "POST"),)),
    Case("websocket", (get("/ws", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), b"ping")),
    Case("upgrade-unknown", (get("/", b"Upgrade: foo\r\nConnection: Upgrade\r\n"),)),
    Case("upgrade-h2c", (get("/", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n"),)),
    Case("request-id-kept", (get("/", b"X-Request-Id: mine\r\n"),)),
    Case("forwarded-for", (get("/", b"X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n"),)),
    Case("envoy-headers", (get("/", b"X-Envoy-Max-Retries: 3\r\nX-Envoy-Retry-On: 5xx\r\nX-Envoy-Internal: 1\r\n"),)),
    Case("client-cert-header", (get("/", b"X-Forwarded-Client-Cert: By=me\r\n"),)),
    Case("edge", (get("/"),), edge=True),
    Case("edge-request-id", (get("/", b"X-Request-Id: mine\r\nX-Forwarded-For: 1.2.3.4\r\n"),), edge=True),
    Case("edge-sanitised", (get("/", b"X-Envoy-Original-Path: /z\r\nX-Envoy-Decorator-Operation: x\r\n"),), edge=True),
    # What no proxy may let through (RFC 9112 section 11.2), and other nonsense.
    Case("smuggle-cl-te", (get("/", b"Content-Length: 3\r\n" + CHUNKED, "POST") + b"0\r\n\r\n",)),
    Case("smuggle-two-cl", (get("/", b"Content-Length: 3\r\nContent-Length: 4\r\n", "POST") + b"abcd",)),
    Case("smuggle-te-list", (get("/", b"Transfer-Encoding: gzip, chunked\r\n", "POST") + b"0\r\n\r\n",)),
    Case("smuggle-te-twice", (get("/", CHUNKED + CHUNKED, "POST") + b"0\r\n\r\n",)),
    Case("smuggle-te-odd", (get("/", b"Transfer-Encoding: xchunked\r\n", "POST") + b"0\r\n\r\n",)),
    Case("smuggle-obs-fold", (get("/", b"X-A: 1\r\n 2\r\n"),)),
    Case("smuggle-space-colon", (get("/", b"X-A : 1\r\n"),)),
    Case("smuggle-nul", (get("/", b"X-A: 1\x002\r\n"),)),
    Case("smuggle-bare-cr", (get("/", b"X-A: 1\r2\r\n"),)),
    Case("smuggle-chunk-size", (get("/", CHUNKED, "POST") + b"zz\r\nabc\r\n0\r\n\r\n",)),
    Case("smuggle-negative-length", (get("/", b"Content-Length: -3\r\n", "POST"),)),
    Case("underscore-name", (get("/", b"X_A: 1\r\n"),)),
    Case("bad-name", (get("/", b"X(A: 1\r\n"),)),
    Case("unknown-method", (get("/", method="BREW"),)),
    Case("garbage", (b"nonsense\r\n\r\n",)),
    Case("http-2-version", (get("/", version="2.0"),)),
    Case("max-stream-duration", (get("/slow-limited"),)),
    Case("max-stream-duration-upload", (get("/slow-limited", b"Content-Length: 5\r\n", "POST") + b"ab",)),
    Case("request-timeout", (get("/slow-upload", b"Content-Length: 5\r\n", "POST") + b"ab",), edge=True),
    Case("drop-overload", (get("/drop"),)),
    Case("response-code-in-header", (get("/code"),)),
    Case("response-code-in-header-of-direct", (get("/direct-code"),)),
    Case("internal-headers", (get("/timed", b"X-Envoy-Upstream-Rq-Timeout-Ms: 1\r\nX-Envoy-Retry-On: 5xx\r\n"),)),
    Case("large-head", (get("/", b"X-Big: " + b"a" * 70_000 + b"\r\n"),)),
    Case("many-headers", (get("/", b"".join(b"X-%d: 1\r\n" % n for n in range(120))),)),
]

#: Where the proxies differ on purpose; the reason is the value.
DIFFERENT = {
    "two-hosts": "RFC 9112 3.2 wants 400; Envoy joins the values",
    "smuggle-obs-fold": "RFC 9112 5.2 allows 400; Envoy unfolds",
    "smuggle-bare-cr": "RFC 9112 2.2: a bare CR is invalid; Envoy drops it",
    "upstream-closes": "a host that closes a reused connection costs no request (RoutedStream.on_upstream_reset)",
}

LOG_DIFFERS = {
    "http-10": "Envoy refuses it before it has read the header that names the case",
    "smuggle-chunk-size": "Envoy routes the head before it looks at the body in the same read",
}
#: A response cut short: Envoy waits for the client to close first.
CLOSES_LATER = {"upstream-half"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    raw: bytes
    closed: bool
    log: tuple[str, ...]


async def exchange(address: tuple[str, int], case: Case) -> tuple[bytes, bool]:
    """Send the parts; answer all that came back until a silence or the end, and whether it was the end."""
    reader, writer = await asyncio.open_connection(*address)
    received, closed = b"", False
    try:
        for part in case.parts:
            if b"HTTP/" in part:
                part = part.replace(b"\r\n", b"\r\nX-Case: " + case.name.encode() + b"\r\n", 1)
            writer.write(part)
            while not closed:
                try:
                    async with asyncio.timeout(0.9 if "/slow" in str(part) else 0.25):
                        data = await reader.read(65536)
                except TimeoutError:
                    break
                closed = not data
                received += data
    except ConnectionError:
        closed = True
    finally:
        writer.close()
    return received, closed


async def _ask_all(proxy_addresses: dict[bool, tuple[str, int]]) -> dict[str, tuple[bytes, bool]]:
    async def ask(case: Case) -> tuple[bytes, bool]:
        async with gate:
            return await exchange(proxy_addresses[case.edge], case)

    gate = asyncio.Semaphore(12)
    for _ in range(3):  # the first lines of a log are Envoy's own affair
        await exchange(proxy_addresses[False], Case("warm-up", (get(),)))
    answers = await asyncio.gather(*(ask(case) for case in CASES))
    return {case.name: answer for case, answer in zip(CASES, answers, strict=True)}


async def _run(folder: Path) -> dict[str, dict[str, Answer]]:
    loop = asyncio.get_running_loop()
    upstream = await loop.create_server(Upstream, "127.35.3.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    clusters = [
        cluster("app", ("127.35.3.1", port), circuit_breakers={"thresholds": [{"max_retries": 100}]}),
        cluster("dead", ("127.35.3.2", free_port("127.35.3.2"))),
        cluster("none", None),
    ]
    drop = {**cluster("drop", ("127.35.3.1", port))}
    overloads = [{"category": "any", "drop_percentage": {"numerator": 100}}]
    drop["load_assignment"] = {**drop["load_assignment"], "policy": {"drop_overloads": overloads}}
    clusters.append(drop)
    results: dict[str, dict[str, Answer]] = {}
    for name, host in (("python", "127.35.3.3"), ("envoy", "127.35.3.4")):
        log = folder / f"{name}.log"
        ports = free_ports(host, 3)
        addresses = {False: (host, ports[0]), True: (host, ports[1])}
        inner = listener(addresses[False], ROUTES, str(log))
        edge = {"use_remote_address": True, "request_timeout": "0.6s"}
        outer = {**listener(addresses[True], ROUTES, str(log), **edge), "name": "edge"}
        if name == "python":
            proxy = PythonProxy([inner, outer], clusters)
            await proxy.listeners.settled()
            raw = await _ask_all(addresses)
            proxy.close()
        else:
            process = await asyncio.to_thread(
                start_envoy, bootstrap([inner, outer], clusters, (host, ports[2])), folder
            )
            raw = await _ask_all(addresses)
            await asyncio.sleep(1.0)
            process.terminate()
            await asyncio.to_thread(process.wait)
        lines = log.read_text().splitlines()
        results[name] = {
            case: Answer(*answer, tuple(sorted(line for line in lines if line.startswith(case + " "))))
            for case, answer in raw.items()
        }
    upstream.close()
    return results


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Answer]]:
    return uvloop.run(_run(tmp_path_factory.mktemp("oracle")))


_EDGE = re.compile(rb"(?im)^(x-forwarded-for|content-length): .*\n")
_VARYING = re.compile(
    rb"(?im)(?<=^date: ).*|(?<=^x-request-id: )[0-9a-f]{8}-[-0-9a-f]{27}$|"
    rb"(?<=^x-envoy-upstream-service-time: )\d+"
)


def _normal(raw: bytes, edge: bool = False) -> list[list[bytes]]:
    """The lines of each head and body, sorted, with what varies cut off."""
    text = _VARYING.sub(b"", raw.replace(b"\r\n", b"\n"))
    if edge:  # for a client on the loopback, Envoy forwards an address of the machine's own
        text = _EDGE.sub(b"", text)
    return [sorted(block.split(b"\n")) for block in text.split(b"\n\n")]


def _closes(answer: Answer) -> bool:
    # Envoy may wait for the client to close first (delayed_close_timeout) after it has said that it will.
    return answer.closed or b"\r\nconnection: close\r\n" in answer.raw


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in DIFFERENT], ids=lambda case: case.name)
def test_same_answer(case: Case, answers: dict[str, dict[str, Answer]]) -> None:
    ours, theirs = answers["python"][case.name], answers["envoy"][case.name]
    assert _normal(ours.raw, case.edge) == _normal(theirs.raw, case.edge)
    assert _closes(ours) == _closes(theirs) or case.name in CLOSES_LATER
    if not case.edge and case.name not in LOG_DIFFERS:
        assert ours.log == theirs.log
