"""The same requests through the Python proxy and the stock Envoy: equal spans, and equal headers for the upstream."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
import uvloop

from sidecar.telemetry.tracing import LocalNode
from tests.ports import free_port, free_ports
from tests.sidecar.oracle.collector import Collector, Seen
from tests.sidecar.oracle.config import bootstrap
from tests.sidecar.oracle.proxies import ENVOY, PythonProxy, start_envoy
from tests.sidecar.oracle.tracing_config import LISTENERS, clusters, listeners
from tests.sidecar.oracle.upstream import Upstream

pytestmark = [pytest.mark.envoy, pytest.mark.skipif(not ENVOY.exists(), reason="the stock Envoy is not installed")]

TRACE, SPAN, PARENT = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
UUID = "11111111-2222-%s333-8444-555555555555"
B3 = f"x-b3-traceid: {TRACE}|x-b3-spanid: {SPAN}"
W3C = f"traceparent: 00-{TRACE}-{SPAN}"


@dataclass(frozen=True)
class Case:
    """One request on a listener: its path, header lines joined by |, body."""

    name: str
    on: str
    path: str = "/"
    headers: str = ""
    body: bytes = b""
    method: str = "GET"


#: Header sets of every form of incoming context.
CONTEXTS = {
    "none": "",
    "b3-sampled": f"{B3}|x-b3-sampled: 1",
    "b3-unsampled": f"{B3}|x-b3-sampled: 0",
    "b3-unsampled-64": f"x-b3-traceid: {SPAN}|x-b3-spanid: {PARENT}|x-b3-sampled: 0",
    "b3-unsampled-parent": f"{B3}|x-b3-sampled: 0|x-b3-parentspanid: {PARENT}",
    "b3-unsampled-bad-parent": f"{B3}|x-b3-sampled: 0|x-b3-parentspanid: xyz",
    "b3-unsampled-upper": f"x-b3-traceid: {TRACE.upper()}|x-b3-spanid: {SPAN.upper()}|x-b3-sampled: 0",
    "b3-unsampled-narrow": f"x-b3-traceid: {'0' * 16}{SPAN}|x-b3-spanid: {PARENT}|x-b3-sampled: 0",
    "b3-unsampled-zero": f"x-b3-traceid: {'0' * 16}|x-b3-spanid: {'0' * 16}|x-b3-sampled: 0",
    "b3-unsampled-w3c": f"{B3}|x-b3-sampled: 0|{W3C}-01",
    "b3-true": f"{B3}|x-b3-sampled: true",
    "b3-no-decision": B3,
    "b3-parent": f"{B3}|x-b3-sampled: 1|x-b3-parentspanid: {PARENT}",
    "b3-flags": f"{B3}|x-b3-flags: 1",
    "b3-64": f"x-b3-traceid: {SPAN}|x-b3-spanid: {PARENT}|x-b3-sampled: 1",
    "b3-short": "x-b3-traceid: 1a|x-b3-spanid: 2b|x-b3-sampled: 1",
    "b3-upper": f"x-b3-traceid: {TRACE.upper()}|x-b3-spanid: {SPAN.upper()}|x-b3-sampled: 1",
    "b3-only-trace": f"x-b3-traceid: {TRACE}|x-b3-sampled: 1",
    "b3-only-sampled": "x-b3-sampled: 1",
    "b3-only-unsampled": "x-b3-sampled: 0",
    "b3-bad-trace": f"x-b3-traceid: xyz|x-b3-spanid: {SPAN}|x-b3-sampled: 1",
    "b3-bad-span": f"x-b3-traceid: {TRACE}|x-b3-spanid: xyz|x-b3-sampled: 1",
    "b3-bad-parent": f"{B3}|x-b3-parentspanid: xyz|x-b3-sampled: 1",
    "b3-empty-parent": f"{B3}|x-b3-parentspanid: |x-b3-sampled: 1",
    "b3-zero": f"x-b3-traceid: {'0' * 32}|x-b3-spanid: {'0' * 16}|x-b3-sampled: 1",
    "b3-odd-length": f"x-b3-traceid: 0{TRACE}|x-b3-spanid: {SPAN}|x-b3-sampled: 1",
    "single": f"b3: {TRACE}-{SPAN}-1-{PARENT}",
    "single-unsampled": f"b3: {TRACE}-{SPAN}-0",
    "single-debug": f"b3: {TRACE}-{SPAN}-d",
    "single-no-decision": f"b3: {TRACE}-{SPAN}",
    "single-64": f"b3: {SPAN}-{PARENT}-1",
    "single-64-parent": f"b3: {SPAN}-{PARENT}-0-{SPAN}",
    "single-0": "b3: 0",
    "single-1": "b3: 1",
    "single-d": "b3: d",
    "single-bad-flag": "b3: x",
    "single-bad-sampled": f"b3: {TRACE}-{SPAN}-x",
    "single-truncated": f"b3: {TRACE}-{SPAN}-",
    "single-short": "b3: abc-def",
    "single-not-hex": f"b3: {'z' * 32}-{SPAN}-1",
    "single-long": f"b3: {TRACE}-{SPAN}-1-{PARENT}0",
    "single-empty": "b3: ",
    "single-and-multi": f"b3: {TRACE}-{SPAN}-0|x-b3-traceid: {SPAN}|x-b3-spanid: {PARENT}|x-b3-sampled: 1",
    "w3c-sampled": f"{W3C}-01",
    "w3c-unsampled": f"{W3C}-00",
    "w3c-flags": f"{W3C}-03",
    "w3c-state": f"{W3C}-01|tracestate: a=1,b=2",
    "w3c-states": f"{W3C}-01|tracestate: a=1|tracestate: b=2",
    "w3c-state-alone": "tracestate: a=1",
    "w3c-upper": f"traceparent: 00-{TRACE.upper()}-{SPAN}-01",
    "w3c-version": f"traceparent: cc-{TRACE}-{SPAN}-01",
    "w3c-longer": f"traceparent: cc-{TRACE}-{SPAN}-01-more",
    "w3c-bad-version": f"traceparent: ff-{TRACE}-{SPAN}-01",
    "w3c-short": f"traceparent: 00-{TRACE}-{SPAN}",
    "w3c-not-hex": f"traceparent: 00-{'z' * 32}-{SPAN}-01",
    "w3c-zero-trace": f"traceparent: 00-{'0' * 32}-{SPAN}-01",
    "w3c-zero-span": f"traceparent: 00-{TRACE}-{'0' * 16}-01",
    "w3c-bad-flags": f"{W3C}-zz",
    "w3c-empty": "traceparent: ",
    "w3c-and-b3": f"{W3C}-00|x-b3-traceid: {SPAN}|x-b3-spanid: {PARENT}|x-b3-sampled: 1",
    "w3c-and-b3-unsampled": f"{W3C}-01|x-b3-sampled: 0",
    "w3c-and-bad-b3": f"{W3C}-01|b3: x",
    "w3c-and-single-flag": f"{W3C}-01|b3: 0",
    "w3c-unsampled-and-single-flag": f"{W3C}-00|b3: 1",
    "b3-twice": f"{B3}|x-b3-sampled: 1|x-b3-traceid: {SPAN}",
    "force": "x-envoy-force-trace: true",
    "client": "x-client-trace-id: mine",
    "id-plain": f"x-request-id: {UUID % '4'}",
    "id-sampled": f"x-request-id: {UUID % '9'}",
    "id-forced": f"x-request-id: {UUID % 'a'}",
    "id-client": f"x-request-id: {UUID % 'b'}",
    "id-no-uuid": "x-request-id: 1234567890",
    "id-short": "x-request-id: 12",
    "id-not-hex": "x-request-id: zz111111-2222-4333-8444-555555555555",
    "id-sampled-b3-unsampled": f"x-request-id: {UUID % '9'}|{B3}|x-b3-sampled: 0",
    "operation": "x-envoy-decorator-operation: from-caller",
    "operation-empty": "x-envoy-decorator-operation: ",
}
_OTHERS = (
    ("plain", "/plain", {}),
    ("quiet", "/quiet", {}),
    ("quiet-operation", "/quiet", {"headers": "x-envoy-decorator-operation: from-caller"}),
    ("tagged", "/tagged", {"headers": f"{B3}|x-b3-sampled: 1"}),
    ("tagged-unsampled", "/tagged", {}),
    ("tag-all", "/tag-all", {}),
    ("decorated", "/decorated", {}),
    ("decorated-plain", "/plain/decorated", {}),
    ("404", "/status/404", {}),
    ("500", "/status/500", {}),
    ("503-retried", "/retry/status/503", {}),
    ("retry-once", "/retry/once", {}),
    ("close", "/close", {}),
    ("dead", "/dead", {}),
    ("no-host", "/none", {}),
    ("missing", "/missing", {}),
    ("no-route", "/", {"headers": "host: nobody"}),
    ("direct", "/direct", {}),
    ("moved", "/moved", {}),
    ("late", "/late", {}),
    ("fault", "/fault", {}),
    ("rewritten", "/old/path?q=1", {}),
    ("agent", "/", {"headers": "user-agent: test/1.0|x-team: red|x-envoy-downstream-service-cluster: front"}),
    ("long", "/" + "a" * 60, {}),
    ("query", "/q?a=1&b=2", {}),
    ("body", "/", {"body": b"hello", "method": "POST"}),
    ("grpc", "/", {"headers": "content-type: application/grpc", "method": "POST"}),
    ("grpc-fault", "/fault", {"headers": "content-type: application/grpc", "method": "POST"}),
    *(
        (f"grpc-{code}", f"/grpc/{code}", {"headers": "content-type: application/grpc", "method": "POST"})
        for code in range(18)
    ),
    ("grpc-timeout", "/grpc/0", {"headers": "content-type: application/grpc+proto|grpc-timeout: 1S", "method": "POST"}),
    ("brew", "/", {"method": "BREW"}),
    ("per-try", "/each", {}),
    ("retry-empty", "/retry/empty-503", {}),
    ("forwarded", "/", {"headers": "x-forwarded-proto: https"}),
)
_TRACERS = ("out", "in", "b3", "off", "gateway", "otel", "otel-off", "b3-64", "by-trace", "unpacked", "overall")
CASES = [
    *(
        Case(f"{on}.{name}", on, headers=text)
        for on in _TRACERS
        for name, text in CONTEXTS.items()
    ),
    *(
        Case(f"{on}.{name}", on, path, **more)
        for on in ("out", "in", "gateway", "b3-in", "otel", "otel-in", "otel-gateway")
        for name, path, more in _OTHERS
    ),
]  # fmt: skip


class App(Upstream):
    """As its base, with answers that name an operation, gRPC statuses and one failure."""

    failed: ClassVar[set[bytes]] = set()

    def answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ")[1]
        case = (re.search(rb"x-case: (\S+)", head) or re.search(rb"()", head))[1]  # type: ignore[index]
        if path.endswith(b"/decorated"):
            self._echo(b"200 OK\r\nx-envoy-decorator-operation: from-app", head)
        elif path.startswith(b"/grpc/"):
            status = path.split(b"/")[2]
            self._echo(b"200 OK\r\ncontent-type: application/grpc\r\ngrpc-message: m\r\ngrpc-status: " + status, head)
        elif path == b"/empty-503":
            self.transport.write(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n")
        elif path == b"/once":
            first = case not in self.failed
            self.failed.add(case)
            self._echo(b"503 X" if first else b"200 OK", head)
        else:
            super().answer(head, body)

    def _echo(self, start: bytes, head: bytes) -> None:
        self.transport.write(b"HTTP/1.1 " + start + b"\r\ncontent-length: %d\r\n\r\n" % len(head) + head)


@dataclass
class Outcome:
    """What one proxy made of a case."""

    answer: str
    spans: list[Seen] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """A header that the upstream saw."""
        found = re.search(rf"(?im)^{name}: ?(.*?)\r?$", self.answer.partition("\r\n\r\n")[2])
        return found[1] if found else None


async def ask(address: tuple[str, int], case: Case) -> str:
    """The whole answer: its body is the head that the upstream saw."""
    reader, writer = await asyncio.open_connection(*address)
    lines = [line for line in case.headers.split("|") if line]
    if not any(line.startswith("host:") for line in lines):
        lines.insert(0, "host: app")
    lines += [f"x-case: {case.name}", "connection: close"]
    if case.method == "POST":
        lines.append(f"content-length: {len(case.body)}")
    writer.write("\r\n".join([f"{case.method} {case.path} HTTP/1.1", *lines, "", ""]).encode() + case.body)
    raw = await reader.read()
    writer.close()
    return raw.decode("latin-1")


async def play(addresses: dict[str, tuple[str, int]], collector: Collector) -> dict[str, Outcome]:
    """Send all cases, wait until no more spans come."""
    gate = asyncio.Semaphore(8)

    async def one(case: Case) -> tuple[str, Outcome]:
        async with gate:
            return case.name, Outcome(await ask(addresses[case.on], case))

    outcomes = dict(await asyncio.gather(*(one(case) for case in CASES)))
    known = -1
    while known != len(collector.spans):
        known = len(collector.spans)
        await asyncio.sleep(6)
    for span in collector.spans:
        outcomes[span.tags.get("case", "")].spans.append(span)
    return outcomes


async def run_proxy(name: str, folder: Path) -> dict[str, Outcome]:
    """One proxy with an upstream and a collector of its own."""
    loop = asyncio.get_running_loop()
    host = {"python": "127.49.3.3", "envoy": "127.49.3.4"}[name]
    upstream = await loop.create_server(App, "127.49.3.1", 0)
    App.failed.clear()
    collector = Collector()
    made = clusters(
        upstream.sockets[0].getsockname(),
        ("127.49.3.2", free_port("127.49.3.2")),
        await collector.start_http("127.49.3.5"),
        await collector.start_grpc("127.49.3.5"),
    )
    addresses = {one: (host, port) for one, port in zip(LISTENERS, free_ports(host, len(LISTENERS)), strict=True)}
    resources = listeners(addresses, str(folder / f"{name}.log"))
    try:
        if name == "python":
            proxy = PythonProxy(resources, made, node=LocalNode(id="oracle", cluster="oracle"))
            await proxy.listeners.settled()
            try:
                return await play(addresses, collector)
            finally:
                proxy.close()
        process = await asyncio.to_thread(
            start_envoy, bootstrap(resources, made, (host, free_port(host))), folder
        )
        try:
            return await play(addresses, collector)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)
    finally:
        upstream.close()
        await collector.stop()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("oracle")
    return {name: uvloop.run(run_proxy(name, folder)) for name in ("python", "envoy")}


_IDS = ("guid:x-request-id",)
_HEADERS = (
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "traceparent",
    "tracestate",
    "x-envoy-decorator-operation",
)
_FRESH = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])")
_KNOWN = {TRACE, SPAN, PARENT, "0" * 32, "0" * 16, "0" * 16 + SPAN}
_PORT = re.compile(r"(127\.49\.3\.\d):\d+")


def _fresh(text: str | None) -> str | None:
    """Ids that the proxy made itself become `new`: those of the request stay."""
    return text if text is None else _FRESH.sub(lambda m: m[0] if m[0].lower() in _KNOWN else f"new{len(m[0])}", text)


def _span(one: Seen) -> tuple[object, ...]:
    tags = {name: _PORT.sub(r"\1", value) for name, value in one.tags.items() if name not in _IDS}
    tags.pop("response_size", None)  # of an echo of headers
    more = {name: value for name, value in one.more.items() if name != "annotations"}
    moments = [each["value"] for each in one.more.get("annotations", ())]
    root = "" if not one.parent else "parent"
    return one.form, one.service, one.name, one.kind, _fresh(one.trace), root, moments, more, sorted(tags.items())


def normal(case: Case, outcome: Outcome) -> dict[str, object]:
    """What must be equal of a case."""
    head = outcome.answer.partition("\r\n\r\n")[0]
    told = re.findall(r"(?im)^x-envoy-decorator-operation: (.*?)\r?$", head)
    request_id = outcome.header("x-request-id")
    return {
        "status": head.split("\r\n")[0],
        "told": told,
        "request id": request_id and (len(request_id), request_id[14:15]),
        **{name: _fresh(outcome.header(name)) for name in _HEADERS},
        "spans": [_span(one) for one in sorted(outcome.spans, key=lambda one: one.start_us)],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_spans_and_headers(case: Case, outcomes: dict[str, dict[str, Outcome]]) -> None:
    ours, theirs = (normal(case, outcomes[name][case.name]) for name in ("python", "envoy"))
    assert ours == theirs


@pytest.mark.parametrize("proxy", ["python", "envoy"])
def test_spans_hang_together(proxy: str, outcomes: dict[str, dict[str, Outcome]]) -> None:
    """Parents are spans of the same request, or what the request came with; the upstream's parent is the last span."""
    for case in CASES:
        spans = outcomes[proxy][case.name].spans
        ids = {one.id for one in spans}
        assert len({one.trace for one in spans}) <= 1
        for one in spans:
            assert one.parent in ids or one.parent.lstrip("0") in case.headers.lower(), (case.name, one)
        if case.name.endswith(".none") and spans:
            outcome = outcomes[proxy][case.name]
            told = outcome.header("x-b3-spanid") or str(outcome.header("traceparent")).split("-")[2]
            parents = {one.parent for one in spans}
            assert [one.id for one in spans if one.id not in parents] == [told]
