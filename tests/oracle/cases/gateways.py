"""The ingress gateway: hosts, ports, redirects to HTTPS, merging, delegates; origin-form requests of the outside."""

from __future__ import annotations

from typing import Any

from tests.oracle.table import GATEWAY, SUBSETS, V1, V2, Ask, Case, ask, virtual_service

BOUND = "gateways: [istio-system/gw]"


def gateway(servers: str = "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{servers}]
---
"""


def entering(http: str, hosts: str = "'*'", name: str = "app") -> str:
    return SUBSETS * (name == "app") + virtual_service(http, hosts, name, BOUND)


def to(path: str = "/", host: str = "shop.example", **more: Any) -> Ask:
    return ask(path, host, **more)


GATE = gateway()
TWO_HOSTS = gateway(
    "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example, '*.b.example']},"
    " {port: {number: 81, name: http-b, protocol: HTTP}, hosts: [c.example]}"
)


def case(name: str, yaml: str, *asks: Ask, **more: Any) -> Case:
    return Case(name, yaml, asks, via=GATEWAY, **more)


CASES = (
    case("gateway-any-host", GATE + entering(f"- {V1}"), to("/x?y", by="v1"), to("/", "other:8080", by="v1")),
    case("gateway-without-routes", GATE, to(status=404, text="", log="404 NR route_not_found")),
    case("gateway-uris", GATE + entering(
        f"- match: [{{uri: {{exact: /a}}}}, {{uri: {{prefix: /static}}}}]\n  {V1}\n"
        f"- match: [{{uri: {{regex: '/r[0-9]'}}}}]\n  {V2}"
    ), to("/a", by="v1"), to("/static/x", by="v1"), to("/r1", by="v2"), to("/none", status=404, log="404 NR")),
    case("gateway-hosts", TWO_HOSTS + entering(f"- {V1}", "a.example") + entering(f"- {V2}", "'*.b.example'", "b"),
         to(host="a.example", by="v1"), to(host="A.example:8080", by="v1"), to(host="x.b.example", by="v2"),
         to(host="x.y.b.example", by="v2"), to(host="b.example", status=404), to(host="z.example", status=404)),
    case("gateway-ports", TWO_HOSTS + entering(f"- {V1}", "a.example") + entering(f"- {V2}", "c.example", "c"),
         to(host="a.example", by="v1"), to(host="c.example", by="v2", port=8081), to(host="c.example", status=404),
         to(host="a.example", status=404, port=8081)),
    case("gateway-match-port", TWO_HOSTS.replace("c.example", "a.example") + entering(
        f"- match: [{{port: 81}}]\n  {V2}\n- {V1}", "a.example"),
        to(host="a.example", by="v1"), to(host="a.example", by="v2", port=8081)),
    case("gateway-https-redirect", gateway(
        "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], tls: {httpsRedirect: true}}"
    ) + entering(f"- {V1}"), to("/x?y=1", status=301, gives={"location": "https://shop.example/x?y=1"}),
        to("/", "shop.example:8080", status=301), to("/x", method="POST", body=b"", status=301)),
    case("gateway-merged", GATE + entering(f"- match: [{{uri: {{prefix: /one}}}}]\n  {V1}", "shop.example")
         + entering(f"- match: [{{uri: {{prefix: /two}}}}]\n  {V2}", "shop.example", "b"),
         to("/one", by="v1"), to("/two", by="v2"), to("/three", status=404)),
    case("gateway-delegate", GATE + entering(
        "- match: [{uri: {prefix: /d}}]\n  delegate: {name: part}\n- directResponse: {status: 299}"
    ) + f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: part}}
spec: {{http: [{{match: [{{uri: {{prefix: /d/2}}}}], {V2}}}, {{{V1}}}]}}
""", to("/d/1", by="v1"), to("/d/2", by="v2"), to("/x", status=299)),
    case("gateway-untrusted-headers", GATE + entering(f"- {V1}"),
         to(h={"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https", "x-envoy-retry-on": "5xx",
               "x-request-id": "mine", "x-envoy-original-path": "/evil"}, do="status=503", status=503, hits=1),
         to(h={"x-forwarded-host": "h", "forwarded": "for=1"})),
    case("gateway-absolute-form", GATE + entering(f"- {V1}", "shop.example"),
         Ask("http://shop.example/x", by="v1"), to("/%2e%2e/y"), to("/a//b/../c"), to("/a%2Fb"),
         to("/a?b=c#d", status=None), to("/a\\b", status=None)),
    case("gateway-headers-and-rewrite", GATE + entering(
        "- match: [{uri: {prefix: /api/}}]\n  rewrite: {uri: /, authority: app.internal}\n"
        f"  headers: {{request: {{add: {{x-via: gateway}}}}, response: {{remove: [x-up]}}}}\n  {V2}"
    ), to("/api/items?id=1", by="v2", line="GET /items?id=1 HTTP/1.1",
          seen={"host": "app.internal", "x-via": "gateway"}, gives={"x-up": None})),
    case("gateway-fault", GATE + entering(
        f"- fault: {{abort: {{httpStatus: 503, percentage: {{value: 100}}}}}}\n  {V1}"), to(status=503, log="503 FI")),
    case("gateway-to-empty", GATE + entering("- route: [{destination: {host: empty}}]"), to(status=503, log="503 UH")),
)  # fmt: skip
