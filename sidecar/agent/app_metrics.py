"""Where the app's own metrics are, and one page of them and the proxy's."""

from __future__ import annotations

import json
from dataclasses import dataclass

#: JSON of the pod's `prometheus.io/*` annotations, without that prefix, as in Istio's ISTIO_PROMETHEUS_ANNOTATIONS.
SCRAPE_VARIABLE = "LUGSAIL_PROMETHEUS_ANNOTATIONS"
_DEFAULT_PATH, _DEFAULT_PORT = "/metrics", 80
_AGENT_PORT = 15020


class BadScrape(Exception):
    """The description of the app's metrics is wrong; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """Where the app shows its metrics."""

    port: int
    path: str


def parse_scrape(text: str) -> Scrape | None:
    """From JSON such as `{"scrape": "true", "path": "/metrics", "port": "9080"}`; None where the app has none to show.
    Raises BadScrape."""
    if not text.strip():
        return None
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadScrape(f"{SCRAPE_VARIABLE} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadScrape(f'{SCRAPE_VARIABLE} must be an object such as {{"scrape": "true", "port": "9080"}}')
    if str(document.get("scrape", "")).lower() != "true":
        return None
    path = str(document.get("path") or _DEFAULT_PATH)
    port = str(document.get("port") or _DEFAULT_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadScrape(f"{SCRAPE_VARIABLE}: port {port!r} is not a port number")
    if int(port) == _AGENT_PORT:
        return None  # the annotation was written for this very page
    return Scrape(port=int(port), path=path if path.startswith("/") else f"/{path}")


def merge(proxy: bytes, app: bytes, scrapes_failed: int) -> bytes:
    """One Prometheus page: the agent's own line, the app's metrics, the proxy's. Pure."""
    own = (
        f"# TYPE lugsail_agent_scrape_failures_total counter\nlugsail_agent_scrape_failures_total {scrapes_failed}\n"
    ).encode()
    return b"".join(_ended(part) for part in (own, _without_end_mark(app), proxy))


def _ended(part: bytes) -> bytes:
    return part if not part or part.endswith(b"\n") else part + b"\n"


def _without_end_mark(page: bytes) -> bytes:
    """OpenMetrics ends with `# EOF`, behind which nothing may follow."""
    return page.rstrip().removesuffix(b"# EOF")
