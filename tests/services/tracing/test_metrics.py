"""Every metric has a row in the reference, and every row a metric."""

from __future__ import annotations

import re
from pathlib import Path

from services.tracing.metrics import TracingMetrics

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "tracing-api.md"


def test_reference() -> None:
    scraped = dict(re.findall(r"^# TYPE (tracing_\S+) (\w+)$", TracingMetrics().render().decode(), re.MULTILINE))
    kinds = {name: kind for name, kind in scraped.items() if not name.endswith("_created")}
    documented = dict(re.findall(r"^\| `(tracing_\w+)` \| (\w+) \|", REFERENCE.read_text(), re.MULTILINE))
    assert documented == kinds


def test_ingest_counts() -> None:
    metrics = TracingMetrics()
    metrics.received("zipkin", 5, 2, 100)
    metrics.refused("otlp-http", "invalid")
    text = metrics.render().decode()
    assert 'tracing_spans_received_total{protocol="zipkin"} 5.0' in text
    assert 'tracing_spans_rejected_total{protocol="zipkin"} 2.0' in text
    assert 'tracing_requests_refused_total{protocol="otlp-http",reason="invalid"} 1.0' in text
