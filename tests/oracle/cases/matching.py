"""Which rule a request meets: every kind of match, and their order."""

from __future__ import annotations

from typing import Any

from tests.oracle.table import SUBSETS, V1, V2, Ask, Case, ask, virtual_service


def matched(match: str) -> str:
    """What meets the match goes to v2, all else to v1."""
    return SUBSETS + virtual_service(f"- match: [{match}]\n  {V2}\n- {V1}")


def v1(path: str = "/", **more: Any) -> Ask:
    return ask(path, by="v1", **more)


def v2(path: str = "/", **more: Any) -> Ask:
    return ask(path, by="v2", **more)


CASES = (
    Case("default-route", asks=(ask("/", line="GET / HTTP/1.1", log="200 - via_upstream"),)),
    Case(
        "uri-exact",
        matched("{uri: {exact: /a/b}}"),
        (v2("/a/b"), v2("/a/b?q=1"), v1("/a/b/"), v1("/A/B"), v1("/a"), v2("/a/./b"), v2("/a/c/../b"), v1("//a/b")),
    ),
    Case(
        "uri-prefix",
        matched("{uri: {prefix: /a}}"),
        (v2("/a"), v2("/a/b"), v2("/ab"), v2("/a?x"), v1("/A"), v1("/"), v2("/%61")),
    ),
    Case(
        "uri-regex",
        matched("{uri: {regex: '/items/[0-9]+(/x)?'}}"),
        (v2("/items/12"), v2("/items/1/x"), v2("/items/1?q=/y"), v1("/items/"), v1("/items/1/y"), v1("/ITEMS/1")),
    ),
    Case(
        "uri-ignore-case",
        matched("{uri: {exact: /A/b}, ignoreUriCase: true}"),
        (v2("/a/B"), v2("/A/b"), v1("/a/bc")),
    ),
    Case(
        "uri-prefix-ignore-case",
        matched("{uri: {prefix: /Login}, ignoreUriCase: true}"),
        (v2("/LOGIN"), v2("/login/x"), v1("/logi")),
    ),
    Case(
        "method",
        matched("{method: {exact: POST}}"),
        (v2(method="POST", body=b"x"), v1(), v1(method="PUT"), ask(method="post", status=400)),
    ),
    Case(
        "method-regex",
        matched("{method: {regex: 'PUT|PATCH'}}"),
        (v2(method="PUT"), v2(method="PATCH"), v1(method="DELETE")),
    ),
    Case(
        "authority",
        matched("{authority: {prefix: app.default}}"),
        (v2(host="app.default:9000"), v2(host="app.default.svc.cluster.local:9000"), v1(host="app:9000")),
    ),
    Case(
        "authority-exact",
        matched("{authority: {exact: 'app:9000'}}"),
        (v2(), v1(host="app.default.svc:9000"), v1(host="APP:9000")),
    ),
    Case("scheme", matched("{scheme: {exact: http}}"), (v2(), v2(h={"x-forwarded-proto": "https"}))),
    Case("scheme-https", matched("{scheme: {exact: https}}"), (v1(), v1(h={"x-forwarded-proto": "https"}))),
    Case(
        "header-exact",
        matched("{headers: {x-a: {exact: one}}}"),
        (v2(h={"x-a": "one"}), v2(h={"X-A": "one"}), v1(h={"x-a": "One"}), v1(h={"x-a": "one,two"}), v1()),
    ),
    Case(
        "header-prefix",
        matched("{headers: {x-a: {prefix: 'on'}}}"),
        (v2(h={"x-a": "one"}), v2(h={"x-a": "on"}), v1(h={"x-a": "o"}), v1()),
    ),
    Case(
        "header-regex",
        matched("{headers: {x-a: {regex: 'b.*z'}}}"),
        (v2(h={"x-a": "buzz"}), v1(h={"x-a": "abuzz"}), v1(h={"x-a": "bu"}), v1()),
    ),
    Case(
        "header-present",
        matched("{headers: {x-a: {}}}"),
        (v2(h={"x-a": "any"}), v2(h={"x-a": ""}), v1()),
    ),
    Case(
        "header-repeated",
        matched("{headers: {x-a: {exact: 'one,two'}}}"),
        (v1(h={"x-a": "one", "X-A": "two"}), v2(h={"x-a": "one,two"}), v1(h={"x-a": "one, two"})),
    ),
    Case(
        "headers-all-of",
        matched("{headers: {x-a: {exact: a}, x-b: {prefix: b}}}"),
        (v2(h={"x-a": "a", "x-b": "bb"}), v1(h={"x-a": "a"}), v1(h={"x-b": "b"})),
    ),
    Case(
        "cookie-regex",
        matched("{headers: {cookie: {regex: '^(.*?;)?\\s*(user=jason)(;.*)?$'}}}"),
        (v2(h={"cookie": "user=jason"}), v2(h={"cookie": "a=b; user=jason; c=d"}), v1(h={"cookie": "user=mary"}), v1()),
    ),
    Case(
        "without-headers",
        matched("{withoutHeaders: {x-a: {exact: one}}}"),
        (v2(), v2(h={"x-a": "two"}), v1(h={"x-a": "one"})),
    ),
    Case(
        "without-headers-present",
        matched("{withoutHeaders: {x-a: {}}}"),
        (v2(), v1(h={"x-a": "two"}), v1(h={"x-a": ""})),
    ),
    Case(
        "query-params",
        matched("{queryParams: {q: {exact: one}}}"),
        (
            v2("/?q=one"),
            v2("/?a=b&q=one"),
            v1("/?q=two"),
            v1("/?Q=one"),
            v1("/?q="),
            v1("/"),
            v2("/?q=one&q=two"),
            v1("/?q=on%65"),
            v1("/?q=two&q=one"),
        ),
    ),
    Case(
        "query-params-regex",
        matched("{queryParams: {q: {regex: '[0-9]+'}}}"),
        (v2("/?q=12"), v1("/?q=1a"), v1("/?q"), v1("/?qq=1")),
    ),
    Case(
        "query-params-present-and-prefix",
        matched("{queryParams: {q: {}, r: {prefix: x}}}"),
        (v2("/?q&r=x"), v2("/?q=1&r=xy"), v1("/?r=x"), v1("/?q=1&r=y"), v1("/?q=1;r=x")),
    ),
    Case(
        "port",
        virtual_service(
            "- match: [{port: 9001}]\n  directResponse: {status: 299, body: {string: by 9001}}\n"
            "- route: [{destination: {host: two, port: {number: 9000}}}]",
            hosts="two",
        ),
        (ask(host="two:9001", status=299, text="by 9001"), ask(host="two:9000", by="two")),
    ),
    Case(
        "route-to-another-port",
        virtual_service("- route: [{destination: {host: two, port: {number: 9001}}}]", hosts="two"),
        (ask(host="two:9000", by="two:9001"), ask(host="two:9001", by="two:9001")),
    ),
    Case(
        "source-labels",
        SUBSETS
        + virtual_service(
            f"- match: [{{uri: {{prefix: /a}}, sourceLabels: {{app: client}}}}]\n  {V2}\n"
            f"- match: [{{sourceLabels: {{app: stranger}}}}]\n  {V2}\n- {V1}"
        ),
        (v2("/a"), v1("/b")),
    ),
    Case("source-namespace", matched("{sourceNamespace: elsewhere}"), (v1(),)),
    Case(
        "gateways-in-match",
        SUBSETS
        + virtual_service(
            f"- match: [{{gateways: [some-gateway]}}]\n  {V2}\n- match: [{{gateways: [mesh], uri: {{prefix: /m}}}}]\n"
            f"  {V2}\n- {V1}",
            more="gateways: [mesh, some-gateway]",
        ),
        (v1("/"), v2("/m")),
    ),
    Case(
        "any-of-several-matches",
        matched("{uri: {exact: /a}}, {headers: {x-a: {exact: a}}, method: {exact: PUT}}"),
        (v2("/a"), v2("/b", method="PUT", h={"x-a": "a"}), v1("/b", h={"x-a": "a"}), v1("/b", method="PUT")),
    ),
    Case(
        "first-rule-wins",
        SUBSETS
        + virtual_service(
            f"- match: [{{uri: {{prefix: /a}}}}]\n  {V1}\n- match: [{{uri: {{exact: /a/b}}}}]\n  {V2}\n"
            f"- match: [{{uri: {{exact: /c}}}}]\n  {V2}"
        ),
        (v1("/a/b"), v2("/c"), ask("/d", status=404, text="", log="404 NR route_not_found")),
    ),
    Case(
        "named-route",
        SUBSETS + virtual_service(f"- name: special\n  match: [{{uri: {{prefix: /s}}, name: m}}]\n  {V2}\n- {V1}"),
        (v2("/s"), v1("/t")),
    ),
    Case(
        "delegate",
        SUBSETS
        + virtual_service(f"- match: [{{uri: {{prefix: /d}}}}]\n  delegate: {{name: part, namespace: default}}\n- {V1}")
        + f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: part}}
spec:
  http:
  - match: [{{uri: {{prefix: /d/x}}}}]
    {V2}
  - match: [{{headers: {{x-a: {{exact: a}}}}}}]
    directResponse: {{status: 299}}
""",
        (v2("/d/x"), ask("/d/y", status=299, h={"x-a": "a"}), v1("/d/y"), v1("/x")),
    ),
    Case(
        "unknown-host",
        asks=(
            ask(host="nobody:9000", status=502, text="", log="502 - direct_response"),
            ask(host="app:9999", status=502),
            ask(host="app", status=502),
        ),
    ),
    Case(
        "made-up-host",
        virtual_service("- route: [{destination: {host: app}}]", hosts="made.up.example"),
        # As in Istio: to an HTTP_PROXY listener only services are known.
        (ask(host="made.up.example", status=502), ask(host="made.up.example:80", status=502)),
    ),
)
