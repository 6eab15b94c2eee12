"""Lines of a small mesh, as cases need them."""

from __future__ import annotations

from typing import Any

from lugsail.requests.line import Line

T = 1_700_000_000.0


def client(start: float = T, **more: Any) -> Line:
    """productpage's proxy calls reviews."""
    values: dict[str, Any] = {
        "proxy": "productpage-v1.default",
        "start": start,
        "code": 200,
        "method": "GET",
        "path": "/reviews/0",
        "protocol": "HTTP/1.1",
        "duration_ms": 20,
        "request_id": "id-1",
        "authority": "reviews:9080",
        "upstream_host": "10.0.0.5:9080",
        "cluster": "outbound|9080|v2|reviews.default.svc.cluster.local",
        "upstream_local": "10.0.0.1:40000",
        "downstream_local": "240.0.0.1:9080",
        "downstream_remote": "10.0.0.1:39999",
    }
    return Line(**(values | more))


def server(start: float = T + 0.002, **more: Any) -> Line:
    """reviews' proxy is called."""
    values: dict[str, Any] = {
        "proxy": "reviews-v2.default",
        "cluster": "inbound|9080||",
        "duration_ms": 10,
        "upstream_host": "127.0.0.1:9080",
        "upstream_local": "127.0.0.6:1",
        "downstream_local": "10.0.0.5:9080",
        "downstream_remote": "10.0.0.1:40000",
        "route_name": "default",
    }
    return client(start, **(values | more))
