"""What a rule does to the request and its answer: rewrites, redirects, answers of the proxy, headers, CORS."""

from __future__ import annotations

from tests.oracle.table import SUBSETS, V1, Case, ask, destination_rule, virtual_service

APP = "route: [{destination: {host: app}}]"


def rule(text: str) -> str:
    return virtual_service("- " + text)


CORS = rule(
    "corsPolicy: {allowOrigins: [{exact: 'http://a.example'}, {prefix: 'http://b.'}, {regex: 'http://c[0-9]'}],"
    " allowMethods: [GET, PUT], allowHeaders: [x-one, x-two], exposeHeaders: [x-shown], maxAge: 1m,"
    f" allowCredentials: true}}\n  {APP}"
)
REUSED = "a host that closes a reused connection costs no request: the Python proxy asks again on a new one"
#: Envoy answers while it has only looked at the head, says that it closes, and counts no body.
_EARLY = "Python reads the whole of what came before it answers, and so can keep the connection"
EARLY = {"answers": _EARLY, "log": _EARLY}
PREFLIGHT = {"access-control-request-method": "PUT"}

#: A header on every answer of the rule; the rest of the rule, and where to, are filled in.
OWN = virtual_service(
    "- headers: {{response: {{set: {{x-own: 'yes', x-code: '%RESPONSE_CODE%'}}, remove: [content-type]}}}}\n  {}\n"
    "  route: [{{destination: {{host: {}}}}}]"
).replace("{name: app}", "{{name: app}}")
ANY = (ask(status=None),)

CASES = (
    Case(
        "rewrite-prefix",
        virtual_service(
            f"- match: [{{uri: {{prefix: /old}}}}]\n  rewrite: {{uri: /new}}\n  {APP}\n"
            f"- match: [{{uri: {{prefix: /dir/}}}}]\n  rewrite: {{uri: /}}\n  {APP}\n"
            f"- match: [{{uri: {{prefix: /gone}}}}]\n  rewrite: {{uri: /}}\n  {APP}"
        ),
        (
            ask("/old", line="GET /new HTTP/1.1", seen={"x-envoy-original-path": "/old"}),
            ask("/old/x?q=/old", line="GET /new/x?q=/old HTTP/1.1"),
            ask("/older", line="GET /newer HTTP/1.1"),
            ask("/dir/a", line="GET /a HTTP/1.1"),
            ask("/dir/", line="GET / HTTP/1.1"),
            ask("/dir", status=404),
            ask("/gone/x"),
            ask("/gone"),
            ask("/gone?q"),
        ),
    ),
    Case(
        "rewrite-exact-and-regex-match",
        virtual_service(
            f"- match: [{{uri: {{exact: /e}}}}]\n  rewrite: {{uri: /exactly}}\n  {APP}\n"
            f"- match: [{{uri: {{regex: '/r/[a-z]+'}}}}]\n  rewrite: {{uri: /whole}}\n  {APP}"
        ),
        (ask("/e?x=1", line="GET /exactly?x=1 HTTP/1.1"), ask("/r/abc?x"), ask("/r/abc")),
    ),
    Case(
        "rewrite-ignore-case",
        virtual_service(
            f"- match: [{{uri: {{prefix: /Old}}, ignoreUriCase: true}}]\n  rewrite: {{uri: /new}}\n  {APP}"
        ),
        (ask("/OLD/x", line="GET /new/x HTTP/1.1"),),
    ),
    Case(
        "rewrite-regex",
        rule(f"rewrite: {{uriRegexRewrite: {{match: '/([^/]+)/([^/?]+)', rewrite: '/\\2/\\1'}}}}\n  {APP}"),
        (
            ask("/a/b", line="GET /b/a HTTP/1.1"),
            ask("/a/b/c/d?e=/f/g", line="GET /b/a/d/c?e=/f/g HTTP/1.1"),
            ask("/a", line="GET /a HTTP/1.1"),
        ),
    ),
    Case(
        "rewrite-authority",
        rule(f"rewrite: {{authority: other.example, uri: /p/}}\n  {APP}"),
        (ask("/x", seen={"host": "other.example", "x-envoy-original-host": "app:9000"}),),
    ),
    Case(
        "redirect-uri",
        rule("redirect: {uri: /there}"),
        (ask("/x?q=1", status=301, text="", gives={"location": "http://app:9000/there?q=1"}), ask("/x", status=301)),
    ),
    Case(
        "redirect-head",
        rule("redirect: {uri: /there}"),
        (ask("/x", status=301, method="HEAD"),),
        excused={"answers": "Envoy names a transfer-encoding for the body that GET would not have either"},
    ),
    Case(
        "redirect-post",
        rule("redirect: {uri: /there}"),
        (ask("/x", status=301, method="POST", body=b"abc"),),
        excused=EARLY,
    ),
    Case(
        "redirect-authority-scheme",
        rule("redirect: {authority: new.example, scheme: https, redirectCode: 302}"),
        (ask("/x?q=1", status=302, gives={"location": "https://new.example/x?q=1"}, log="302 - direct_response"),),
    ),
    Case(
        "redirect-port",
        rule("redirect: {port: 8443, redirectCode: 307}"),
        (ask("/x", status=307, gives={"location": "http://app:8443/x"}),),
    ),
    Case(
        "redirect-authority-port",
        rule("redirect: {authority: 'new.example', port: 1234, redirectCode: 303}"),
        (ask("/x", status=303, gives={"location": "http://new.example:1234/x"}),),
    ),
    Case(
        "redirect-derive-default",
        rule("redirect: {derivePort: FROM_PROTOCOL_DEFAULT, scheme: https, redirectCode: 308}"),
        (ask("/x", status=308),),
    ),
    Case(
        "redirect-derive-request",
        rule("redirect: {derivePort: FROM_REQUEST_PORT, authority: new.example}"),
        (ask("/x", status=301),),
    ),
    Case(
        "redirect-uri-prefix",
        virtual_service("- match: [{uri: {prefix: /old}}]\n  redirect: {uri: '%PREFIX()%/new'}"),
        (ask("/old/x?q", status=301), ask("/old", status=301)),
    ),
    Case(
        "direct-response-string",
        rule("directResponse: {status: 503, body: {string: 'down, sorry'}}\n  headers: {response: {set: {x-a: b}}}"),
        (
            ask("/x", status=503, text="down, sorry", gives={"x-a": "b"}, log="503 - direct_response"),
            ask("/x", status=503, method="HEAD", text=""),
        ),
    ),
    Case(
        "direct-response-post",
        rule("directResponse: {status: 200, body: {string: hi}}"),
        (ask("/x", text="hi", method="POST", body=b"abc" * 1000),),
        excused=EARLY,
    ),
    Case(
        "direct-response-bytes",
        rule("directResponse: {status: 200, body: {bytes: aGVsbG8=}}"),
        (ask("/", text="hello"),),
    ),
    Case(
        "direct-response-content-type",
        rule(
            "directResponse: {status: 200, body: {string: '{}'}}\n"
            "  headers: {response: {set: {content-type: application/json, x-code: '%RESPONSE_CODE%'}}}"
        ),
        (ask("/", text="{}", gives={"content-type": "application/json"}),),
    ),
    Case(
        "direct-response-without-content-type",
        rule("directResponse: {status: 200, body: {string: hi}}\n  headers: {response: {remove: [content-type]}}"),
        (ask("/", text="hi"),),
    ),
    Case("headers-on-grpc", OWN.format("", "empty"), (ask(h={"content-type": "application/grpc"}),)),
    Case("direct-response-empty", rule("directResponse: {status: 204}"), (ask("/", status=204, text=""),)),
    Case(
        "headers-of-route",
        SUBSETS
        + rule(
            "headers:\n"
            "    request: {set: {x-set: s, x-new: n}, add: {x-add: a}, remove: [x-gone]}\n"
            "    response: {set: {x-up: changed}, add: {x-up2: '2'}, remove: [content-type]}\n"
            f"  {V1}"
        ),
        (
            ask(
                h={"x-set": "old", "x-add": "first", "x-gone": "1"},
                seen={"x-set": "s", "x-new": "n", "x-add": "first,a", "x-gone": None},
                gives={"x-up": "changed", "x-up2": "2", "content-type": None},
            ),
        ),
    ),
    Case(
        "headers-of-destination",
        SUBSETS
        + rule(
            "headers: {request: {set: {x-where: route}}, response: {add: {x-from: route}}}\n"
            "  route:\n  - destination: {host: app, subset: v1}\n    weight: 100\n"
            "    headers: {request: {set: {x-where: destination, x-more: m}}, response: {add: {x-from: dest}}}\n"
            "  - destination: {host: app, subset: v2}\n    weight: 0\n"
            "    headers: {request: {set: {x-where: never}}}"
        ),
        (ask(by="v1", seen={"x-more": "m"}),),
    ),
    Case(
        "headers-of-lone-destination",
        SUBSETS
        + rule(
            "headers: {request: {set: {x-where: route}, remove: [x-b]}, response: {set: {x-from: route}}}\n"
            "  route:\n  - destination: {host: app, subset: v1}\n"
            "    headers: {request: {set: {x-where: destination}, add: {x-b: again}}, response: {set: {x-from: d}}}"
        ),
        (ask(by="v1", h={"x-b": "1"}),),
    ),
    Case(
        "headers-formatted",
        rule(
            "headers:\n"
            "    request: {set: {x-path: '%REQ(:PATH)%', x-m: '%REQ(:METHOD)%/%PROTOCOL%', x-none: '%REQ(X-NO)%',"
            " x-alt: '%REQ(X-NO?X-A)%', x-pct: '100%%', x-cut: '%REQ(X-A):2%'}}\n"
            "    response: {set: {x-code: '%RESPONSE_CODE%', x-flags: '%RESPONSE_FLAGS%',"
            " x-cluster: '%UPSTREAM_CLUSTER%', x-up-copy: '%RESP(X-UP)%', x-route: '%ROUTE_NAME%'}}\n"
            f"  {APP}"
        ),
        (
            ask(
                "/p?q",
                h={"x-a": "alpha"},
                seen={"x-path": "/p?q", "x-m": "GET/HTTP/1.1", "x-alt": "alpha"},
                gives={"x-code": "200", "x-up-copy": "1"},
            ),
        ),
    ),
    Case(
        "headers-host",
        rule(f"headers: {{request: {{set: {{Host: set.example}}}}}}\n  {APP}"),
        (ask(seen={"host": "set.example"}),),
    ),
    Case(
        "headers-append-to-repeated",
        rule(
            f"headers: {{request: {{add: {{x-a: '3'}}}}, response: {{add: {{x-up: '9'}}, remove: [server]}}}}\n  {APP}"
        ),
        (ask(h={"x-a": "1", "X-A": "2"}, do="add-set-cookie=a=1 add-Set-Cookie=b=2"),),
    ),
    Case(
        "headers-on-proxys-own-answers",
        rule(
            "headers: {response: {set: {x-own: 'yes', x-code: '%RESPONSE_CODE%'}}}\n"
            "  timeout: 0.1s\n  route: [{destination: {host: app}}]"
        ),
        (ask(do="delay=0.6", status=504, gives={"x-own": "yes", "x-code": "0"}),),
    ),
    Case("headers-on-a-fault", OWN.format("fault: {abort: {httpStatus: 418, percentage: {value: 100}}}", "app"), ANY),
    Case(
        "headers-on-a-preflight",
        OWN.format("corsPolicy: {allowOrigins: [{exact: 'http://a'}]}", "app"),
        (ask(method="OPTIONS", h={"origin": "http://a", **PREFLIGHT}, status=None),),
    ),
    Case("headers-without-cluster", OWN.format("", "app, subset: none"), ANY),
    Case("headers-without-endpoints", OWN.format("", "empty"), ANY),
    Case("headers-without-connection", OWN.format("retries: {attempts: 0}", "dead"), ANY, excused={}),
    Case(
        "headers-on-a-reset",
        OWN.format("retries: {attempts: 0}", "app"),
        (ask(do="close", status=503),),
        excused={"hits": REUSED},
    ),
    Case(
        "headers-on-a-redirect",
        rule("redirect: {uri: /x}\n  headers: {request: {set: {x-q: '1'}}, response: {set: {x-own: 'yes'}}}"),
        ANY,
    ),
    Case(
        "cors-preflight",
        CORS,
        (
            ask(
                method="OPTIONS",
                h={"origin": "http://a.example", **PREFLIGHT},
                hits=0,
                gives={"access-control-allow-origin": "http://a.example", "access-control-max-age": "60"},
            ),
            ask(method="OPTIONS", h={"origin": "http://b.example", **PREFLIGHT}, hits=0),
            ask(method="OPTIONS", h={"origin": "http://c1", **PREFLIGHT}, hits=0),
            ask(method="OPTIONS", h={"origin": "http://no.example", **PREFLIGHT}, status=None),
            ask(method="OPTIONS", h={"origin": "http://a.example"}, hits=1),
            ask(method="OPTIONS", h={**PREFLIGHT}, hits=1),
        ),
    ),
    Case(
        "cors-simple",
        CORS,
        (
            ask(h={"origin": "http://a.example"}, gives={"access-control-allow-origin": "http://a.example"}),
            ask(h={"origin": "http://no.example"}, gives={"access-control-allow-origin": None}),
            ask(h={"origin": "http://b.x"}, do="add-access-control-allow-origin=*"),
        ),
    ),
    Case(
        "cors-ignored-preflight",
        rule(f"corsPolicy: {{allowOrigins: [{{exact: 'http://a'}}], unmatchedPreflights: IGNORE}}\n  {APP}"),
        (ask(method="OPTIONS", h={"origin": "http://no", **PREFLIGHT}, hits=0),),
    ),
    Case(
        "cors-forwarded-preflight",
        rule(f"corsPolicy: {{allowOrigins: [{{exact: 'http://a'}}], unmatchedPreflights: FORWARD}}\n  {APP}"),
        (ask(method="OPTIONS", h={"origin": "http://no", **PREFLIGHT}, hits=1),),
    ),
    Case(
        "cors-any-origin",
        rule(f"corsPolicy: {{allowOrigins: [{{regex: '.*'}}], allowMethods: ['*']}}\n  {APP}")
        + destination_rule("{loadBalancer: {simple: ROUND_ROBIN}}"),
        (ask(h={"origin": "null"}), ask(method="OPTIONS", h={"origin": "http://x", **PREFLIGHT})),
    ),
)
