"""What the services that watch a mesh say of it: traces by Jaeger's API, requests by the page of all metrics."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.e2e.lab import Lab

GATEWAY = "istio-ingressgateway.istio-system"
#: So many microseconds of traces are asked for at once: the API gives 1500 at most.
WINDOW_US = 2_000_000
LIMIT = 1500

Tree = tuple[str, str, str, tuple["Tree", ...]]
_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def now_us() -> int:
    return int(time.time() * 1_000_000)


def url_of(lab: Lab, name: str) -> str:
    """Where `lugsail status` says that one of them answers."""
    for item in lab.status()["observers"]:
        if item["name"] == name:
            parts = urllib.parse.urlsplit(str(item["url"]))
            return f"{parts.scheme}://{parts.netloc}"
    raise AssertionError(f"no {name} in `lugsail status`")


def fetch(url: str) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def traces(base: str, since_us: int, service: str = GATEWAY, **tags: str) -> list[dict[str, Any]]:
    """The traces that have a span of the service since then, with those tags."""
    found: dict[str, dict[str, Any]] = {}
    start, end = since_us, now_us()
    while start <= end:
        query = {"service": service, "start": start, "end": start + WINDOW_US - 1, "limit": LIMIT}
        text = urllib.parse.urlencode(query | ({"tags": json.dumps(tags)} if tags else {}))
        page = json.loads(fetch(f"{base}/api/traces?{text}"))["data"]
        assert len(page) < LIMIT, "more traces in a window than one answer holds"
        found |= {trace["traceID"]: trace for trace in page}
        start += WINDOW_US
    return list(found.values())


def trees(trace: dict[str, Any]) -> tuple[Tree, ...]:
    """The roots of a trace: (service, kind, operation, children in the order in which they began)."""
    spans = {span["spanID"]: span for span in trace["spans"]}
    children: dict[str | None, list[dict[str, Any]]] = {}
    for span in trace["spans"]:
        parent = next((ref["spanID"] for ref in span["references"] if ref["refType"] == "CHILD_OF"), None)
        children.setdefault(parent if parent in spans else None, []).append(span)

    def below(parent: str | None) -> tuple[Tree, ...]:
        ordered = sorted(children.get(parent, ()), key=lambda span: int(span["startTime"]))
        return tuple(
            (
                str(trace["processes"][span["processID"]]["serviceName"]),
                str(next((tag["value"] for tag in span["tags"] if tag["key"] == "span.kind"), "")),
                str(span["operationName"]),
                below(span["spanID"]),
            )
            for span in ordered
        )

    return below(None)


def samples(page: str, metric: str) -> Iterator[tuple[dict[str, str], float]]:
    """(labels, value) of each sample of one metric."""
    for line in page.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is not None and match[1] == metric:
            yield dict(_LABEL.findall(match[2])), float(match[3])


def requests_total(base: str, **labels: str) -> float:
    """The sum of istio_requests_total with these labels, by the metrics service's own page."""
    page = fetch(f"{base}/metrics").decode()
    found = samples(page, "istio_requests_total")
    return sum(value for own, value in found if all(own.get(key) == value for key, value in labels.items()))
