"""The tasks of Istio's docs, end to end, the same table for both proxies, on processes and in containers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import PROCESSES
from tests.e2e.lab import SAMPLES, Client, Lab, eventually
from tests.e2e.splits import check_split

pytestmark = pytest.mark.e2e

BOOKINFO = SAMPLES / "bookinfo"
HTTPBIN = SAMPLES / "httpbin"
RULES = BOOKINFO / "destination-rule-all.yaml"
ALL_V1 = BOOKINFO / "virtual-service-all-v1.yaml"
REVIEWS = "http://reviews:9080/reviews/0"
REVIEWS_ERROR = "Error fetching product reviews"
RATINGS_ERROR = "Ratings service is currently unavailable"


def stars(body: str) -> str:
    """Which reviews answered, told by the stars on the page or in the JSON: none (v1), black (v2) or red (v3)."""
    found = {colour for colour in ("black", "red") if f'"{colour}"' in body or f"stars-{colour}" in body}
    assert len(found) <= 1, found
    return found.pop() if found else "none"


def colours(client: Client, n: int, headers: dict[str, str] | None = None) -> Counter[str]:
    """n calls of reviews; every one must be 200."""
    counts: Counter[str] = Counter()
    for _ in range(n):
        answer = client.get(REVIEWS, headers)
        assert answer.status == 200, (answer.status, answer.body)
        counts[stars(answer.body)] += 1
    return counts


# --- request routing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/productpage", 200),
        ("/productpage?u=normal", 200),
        ("/static/style.css", 200),
        ("/api/v1/products", 200),
        ("/api/v1/products/0/reviews", 200),
        ("/", 404),
        ("/productpagex", 404),
        ("/health", 404),
    ],
)
def test_gateway_paths(lab: Lab, path: str, status: int) -> None:
    assert lab.get(path).status == status


def test_without_rules_all_versions_answer(lab: Lab) -> None:
    with lab.client("productpage-v1") as client:
        assert set(colours(client, 60)) == {"none", "black", "red"}


def test_request_routing_by_identity(lab: Lab) -> None:
    lab.apply(RULES, ALL_V1)
    assert {stars(lab.get("/productpage").body) for _ in range(5)} == {"none"}
    lab.apply(BOOKINFO / "virtual-service-reviews-test-v2.yaml")
    jason, other = lab.sign_in("jason"), lab.sign_in("mary")
    assert {stars(jason("/productpage").body) for _ in range(5)} == {"black"}
    assert {stars(other("/productpage").body) for _ in range(5)} == {"none"}
    assert {stars(lab.get("/productpage").body) for _ in range(5)} == {"none"}


def test_a_clients_own_end_user_header_is_not_trusted(lab: Lab) -> None:
    lab.apply(RULES, ALL_V1, BOOKINFO / "virtual-service-reviews-test-v2.yaml")
    assert stars(lab.get("/productpage", {"end-user": "jason"}).body) == "none"


# --- faults ----------------------------------------------------------------------------------------------------


def test_fault_delay_shows_the_timeout_bug(lab: Lab) -> None:
    lab.apply(
        RULES,
        ALL_V1,
        BOOKINFO / "virtual-service-reviews-test-v2.yaml",
        BOOKINFO / "virtual-service-ratings-test-delay.yaml",
    )
    page = lab.sign_in("jason")("/productpage")
    assert page.status == 200
    assert REVIEWS_ERROR in page.body
    assert 5.9 <= page.seconds <= 7.0, page.seconds
    assert lab.get("/productpage").seconds < 3


def test_fault_abort(lab: Lab) -> None:
    lab.apply(
        RULES,
        ALL_V1,
        BOOKINFO / "virtual-service-reviews-test-v2.yaml",
        BOOKINFO / "virtual-service-ratings-test-abort.yaml",
    )
    page = lab.sign_in("jason")("/productpage")
    assert page.status == 200
    assert RATINGS_ERROR in page.body
    assert page.seconds < 2
    assert RATINGS_ERROR not in lab.get("/productpage").body


def test_abort_flag_and_body(lab: Lab) -> None:
    lab.apply(RULES, ALL_V1, BOOKINFO / "virtual-service-ratings-test-abort.yaml")
    with lab.client("reviews-v2") as client:
        answer = client.get("http://ratings:9080/ratings/0", {"end-user": "jason"})
        assert (answer.status, answer.body) == (500, "fault filter abort")
        assert client.get("http://ratings:9080/ratings/0").status == 200
    eventually(lambda: " FI fault_filter_abort " in lab.proxy_log("reviews-v2"), what="flag FI in the access log")


def test_fault_percentage(lab: Lab) -> None:
    lab.apply(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - fault: {abort: {httpStatus: 418, percentage: {value: 30}}}
    route: [{destination: {host: ratings}}]
"""
    )
    with lab.client() as client:
        counts = Counter(str(client.get("http://ratings:9080/ratings/0").status) for _ in range(600))
    check_split(dict(counts), {"200": 0.7, "418": 0.3})


# --- shifting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("virtual-service-reviews-50-v3.yaml", {"none": 0.5, "red": 0.5}),
        ("virtual-service-reviews-80-20.yaml", {"none": 0.8, "black": 0.2}),
        ("virtual-service-reviews-90-10.yaml", {"none": 0.9, "black": 0.1}),
        ("virtual-service-reviews-v2-v3.yaml", {"black": 0.5, "red": 0.5}),
        ("virtual-service-reviews-v3.yaml", {"red": 1.0}),
    ],
)
def test_traffic_shifting(lab: Lab, file: str, expected: dict[str, float]) -> None:
    lab.apply(RULES, BOOKINFO / file)
    with lab.client() as client:
        check_split(colours(client, 700), expected)


def test_jason_sees_v2_and_all_others_v3(lab: Lab) -> None:
    lab.apply(RULES, BOOKINFO / "virtual-service-reviews-jason-v2-v3.yaml")
    with lab.client() as client:
        assert set(colours(client, 10, {"end-user": "jason"})) == {"black"}
        assert set(colours(client, 10)) == {"red"}


# --- timeouts, retries, mirroring ------------------------------------------------------------------------------


def test_request_timeout(lab: Lab) -> None:
    lab.apply(
        RULES,
        ALL_V1,
        BOOKINFO / "virtual-service-reviews-timeout.yaml",
        BOOKINFO / "virtual-service-ratings-delay-2s.yaml",
    )
    with lab.client() as client:
        answer = client.get(REVIEWS)
        assert (answer.status, answer.body) == (504, "upstream request timeout")
        assert 0.45 <= answer.seconds <= 1.2, answer.seconds
    page = lab.get("/productpage")
    assert REVIEWS_ERROR in page.body
    assert 0.9 <= page.seconds <= 2.0, page.seconds
    eventually(lambda: " 504 UT response_timeout " in lab.proxy_log("curl"), what="flag UT in the access log")


def httpbin_rule(http: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: httpbin}}
spec:
  hosts: [httpbin]
  http:
  - {http}
"""


def test_retries(lab: Lab) -> None:
    lab.apply(
        httpbin_rule(
            "retries: {attempts: 3, retryOn: '5xx', backoff: 25ms}\n"
            "    route: [{destination: {host: httpbin, port: {number: 8000}}}]"
        )
    )
    with lab.client() as client:
        before = lab.stat("curl", r"cluster\.outbound\|8000\|\|httpbin.*\.upstream_rq_retry")
        assert client.get("http://httpbin:8000/status/503").status == 503
        assert client.get("http://httpbin:8000/status/404").status == 404
    after = lab.stat("curl", r"cluster\.outbound\|8000\|\|httpbin.*\.upstream_rq_retry")
    assert after - before == 3
    eventually(lambda: " 503 URX via_upstream " in lab.proxy_log("curl"), what="flag URX in the access log")


def test_mirroring(lab: Lab) -> None:
    lab.apply(HTTPBIN / "destination-rule-httpbin.yaml", HTTPBIN / "virtual-service-httpbin-mirror.yaml")
    with lab.client() as client:
        for i in range(10):
            assert client.get(f"http://httpbin:8000/anything/mirrored-{i}").status == 200

    for workload in ("httpbin-v1", "httpbin-v2"):
        eventually(
            lambda name=workload: lab.proxy_log(name).count("/anything/mirrored-") == 10,
            what=f"ten requests in {workload}'s access log",
        )


# --- what a route can do to a request --------------------------------------------------------------------------


def test_redirect(lab: Lab) -> None:
    lab.apply(httpbin_rule("redirect: {uri: /moved, authority: other.example, redirectCode: 308}"))
    with lab.client() as client:
        answer = client.get("http://httpbin:8000/x?q=1")
    assert (answer.status, answer.headers["location"]) == (308, "http://other.example/moved?q=1")


def test_rewrite(lab: Lab) -> None:
    lab.apply(
        httpbin_rule(
            "match: [{uri: {prefix: /old/}}]\n"
            "    rewrite: {uri: /anything/new/, authority: rewritten.example}\n"
            "    route: [{destination: {host: httpbin, port: {number: 8000}}}]"
        )
    )
    with lab.client() as client:
        echoed = json.loads(client.get("http://httpbin:8000/old/x?q=1").body)
        assert client.get("http://httpbin:8000/other").status == 404
    assert echoed["url"].endswith("/anything/new/x?q=1")
    assert echoed["headers"]["Host"] == "rewritten.example"
    assert echoed["headers"]["X-Envoy-Original-Path"] == "/old/x?q=1"


def test_direct_response(lab: Lab) -> None:
    lab.apply(httpbin_rule("directResponse: {status: 503, body: {string: down for repairs}}"))
    with lab.client() as client:
        answer = client.get("http://httpbin:8000/")
    assert (answer.status, answer.body) == (503, "down for repairs")


def test_header_changes(lab: Lab) -> None:
    lab.apply(
        httpbin_rule(
            "headers:\n"
            "      request: {set: {x-set: s}, add: {x-add: a}, remove: [x-gone]}\n"
            "      response: {set: {x-answer: '%RESPONSE_CODE%'}, remove: [date]}\n"
            "    route: [{destination: {host: httpbin, port: {number: 8000}}}]"
        )
    )
    with lab.client() as client:
        answer = client.get("http://httpbin:8000/headers", {"x-set": "old", "x-gone": "1"})
    seen = json.loads(answer.body)["headers"]
    assert (seen["X-Set"], seen["X-Add"], "X-Gone" in seen) == ("s", "a", False)
    assert answer.headers["x-answer"] == "200"


def test_cors(lab: Lab) -> None:
    lab.apply(
        httpbin_rule(
            "corsPolicy: {allowOrigins: [{exact: 'http://good.example'}], allowMethods: [GET, PUT], maxAge: 24h}\n"
            "    route: [{destination: {host: httpbin, port: {number: 8000}}}]"
        )
    )
    ask = {"origin": "http://good.example", "access-control-request-method": "PUT"}
    with lab.client() as client:
        preflight = client.get("http://httpbin:8000/put", ask, method="OPTIONS")
        plain = client.get("http://httpbin:8000/get", {"origin": "http://good.example"})
        bad = client.get("http://httpbin:8000/get", {"origin": "http://bad.example"})
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-methods"] == "GET,PUT"
    assert preflight.headers["access-control-max-age"] == "86400"
    assert plain.headers["access-control-allow-origin"] == "http://good.example"
    assert "access-control-allow-origin" not in bad.headers or bad.headers["access-control-allow-origin"] == "*"


# --- what goes wrong -------------------------------------------------------------------------------------------


def test_missing_subset_is_503_with_flag_nc(lab: Lab) -> None:
    lab.apply(ALL_V1)
    with lab.client() as client:
        assert client.get(REVIEWS).status == 503
    eventually(lambda: " 503 NC cluster_not_found " in lab.proxy_log("curl"), what="flag NC in the access log")
    lab.apply(RULES)
    with lab.client() as client:
        assert client.get(REVIEWS).status == 200


@pytest.mark.parametrize("shared_lab", PROCESSES, indirect=True)
def test_unknown_host_is_blocked(lab: Lab) -> None:
    """In containers the name service has no address for it, so that no request leaves the app."""
    with lab.client() as client:
        assert client.get("http://nowhere.example/").status == 502


def test_circuit_breaker_overflows(lab: Lab) -> None:
    lab.apply(
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}
"""
    )

    together = threading.Barrier(6, timeout=30)

    def one(_: int) -> tuple[int, str]:
        with lab.client() as client:
            together.wait()
            answer = client.get("http://httpbin:8000/delay/1")
            return answer.status, answer.headers.get("x-envoy-overloaded", "")

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(one, range(6)))
    assert (200, "") in results
    assert (503, "true") in results
    assert set(results) == {(200, ""), (503, "true")}
    assert lab.stat("curl", r"cluster\.outbound\|8000\|\|httpbin.*\.upstream_rq_pending_overflow") > 0


def test_a_rejected_resource_is_shown_where_it_was_typed(lab: Lab) -> None:
    """A Gateway on an address that is taken: valid for Istio, refused by the proxy that can't bind it."""
    taken = lab.pod_addresses("istio-ingressgateway")[0]
    # In a container Envoy itself holds 15021 of all addresses, and may share it with itself; 15020 is its agent's.
    port = 15020 if lab.runtime == "docker" else 15021
    done = lab.cli(
        "apply",
        "-f",
        "-",
        check=False,
        text=f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: clash, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: {port}, name: http, protocol: HTTP}}, bind: {taken}, hosts: ['*']}}
""",
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 1, printed
    assert "istio-ingressgateway" in printed
    assert str(port) in printed
    assert lab.get("/productpage").status == 200, "the last good configuration stays in force"
