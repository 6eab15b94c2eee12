"""What a picture of the mesh is drawn from: edges and series of the metrics service, of a page that was read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import PROCESSES
from tests.e2e.lab import SAMPLES, Lab, eventually
from tests.e2e.observed import GATEWAY, fetch, url_of

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("shared_lab", PROCESSES, indirect=True)]
BOOKINFO = SAMPLES / "bookinfo"
PAGES = 6


def edges(base: str, window: str = "1h") -> dict[tuple[str, str], dict[str, Any]]:
    """(source, destination) → the edge."""
    found = json.loads(fetch(f"{base}/api/graph?window={window}"))["edges"]
    return {(edge["source"], edge["destination"]): edge for edge in found}


def counts(base: str) -> dict[tuple[str, str], int]:
    return {key: sum(edge.get("http", {}).get("codes", {}).values()) for key, edge in edges(base).items()}


def test_a_page_is_the_edges_that_it_went_along(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    base = url_of(lab, "metrics")
    hops = (
        (GATEWAY, "productpage-v1.default"),
        ("productpage-v1.default", "details-v1.default"),
        ("productpage-v1.default", "reviews-v3.default"),
        ("reviews-v3.default", "ratings-v1.default"),
    )
    before = counts(base)
    assert [lab.get("/productpage").status for _ in range(PAGES)] == [200] * PAGES

    def counted() -> bool:
        now = counts(base)
        new = {key: count - before.get(key, 0) for key, count in now.items() if count != before.get(key, 0)}
        assert all(new.get(hop, 0) >= PAGES for hop in hops), new
        return True

    eventually(counted, 20, "every hop has its requests")
    found = edges(base)
    for hop in hops:
        http = found[hop]["http"]
        assert found[hop]["reporter"] == "source" and http["rate"] > 0, hop
        assert 0 < http["p50"] <= http["p95"] <= http["p99"], hop
    assert found[hops[2]]["service"] == "reviews.default.svc.cluster.local"


def test_a_host_that_fails_is_an_edge_with_errors_and_flags(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-ratings-test-abort.yaml")
    base = url_of(lab, "metrics")
    with lab.client("reviews-v2") as client:
        assert client.get("http://ratings:9080/ratings/0", {"end-user": "jason"}).status == 500

    def flags() -> int:
        found = [edge for (source, _), edge in edges(base).items() if source == "reviews-v2.default"]
        return sum(edge["http"]["flags"].get("FI", 0) for edge in found if "http" in edge)

    eventually(lambda: flags() >= 1, 20, "the aborted request is an edge's")


def test_series_by_version(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    base = url_of(lab, "metrics")
    with lab.client() as client:
        assert client.get("http://reviews:9080/reviews/0").status == 200
    query = "metric=istio_requests_total&by=destination_version&window=2m&step=10s&reporter=source"

    def rates() -> dict[str, float]:
        answer = json.loads(fetch(f"{base}/api/series?{query}&destination_app=reviews"))
        found = {one["labels"]["destination_version"]: one["points"] for one in answer["series"]}
        return {version: max(rate for _, rate in points) for version, points in found.items()}

    eventually(lambda: rates().get("v3", 0) > 0, 20, "v3's series")
