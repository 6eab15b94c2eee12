import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts

TO = "route: [{destination: {host: a}}]"


def rule(text: str) -> str:
    return f"hosts: [a]\nhttp:\n- {{{text}}}"


def refused(text: str, *expected: tuple[str, str]) -> None:
    below = ((f"http[0]{'.' if path else ''}{path}", part) for path, part in expected)
    assert_refused("VirtualService", rule(text), *below)


@pytest.mark.parametrize(
    "text",
    [
        TO,
        "redirect: {uri: /b}",
        "redirect: {derivePort: FROM_REQUEST_PORT}",
        "redirect: {port: 8443, redirectCode: 308, scheme: https, authority: b}",
        "directResponse: {status: 503}, headers: {response: {set: {a: b}}}",
        "directResponse: {status: 200, body: {bytes: aGk}}",
        "delegate: {name: b, namespace: c}",
        f"{TO}, match: [{{headers: {{x: {{}}}}, withoutHeaders: {{y: {{regex: '*'}}}}, uri: {{prefix: ''}}}}]",
        f"{TO}, rewrite: {{uriRegexRewrite: {{match: '/(.*)', rewrite: '/b/\\1'}}}}",
        f"{TO}, retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '5xx,reset,503,unavailable', backoff: 25ms}}",
        f"{TO}, retries: {{attempts: 0}}",
        f"{TO}, fault: {{delay: {{fixedDelay: 5s, percentage: {{value: 0.1}}}}, abort: {{grpcStatus: UNAVAILABLE}}}}",
        f"{TO}, mirrors: [{{destination: {{host: b}}, percentage: {{value: 50}}}}]",
        f"{TO}, corsPolicy: {{allowOrigins: [{{regex: '.*'}}], allowMethods: [GET, '*'], maxAge: 24h}}",
        f"{TO}, corsPolicy: {{allowHeaders: ['*', x-a], exposeHeaders: [x.b]}}",
        "route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 0}]",
        "route: [{destination: {host: a, subset: v1, port: {number: 80}}}]",
        "route: [{destination: {host: '*.wild.example'}}]",
    ],
)
def test_good_rules(text: str) -> None:
    assert error_texts("VirtualService", rule(text)) == []


def test_a_rule_does_exactly_one_thing() -> None:
    refused("name: x", ("", "needs one of `route`, `redirect` and `directResponse`"))
    refused("route: []", ("", "needs one of"))
    refused(f"{TO}, redirect: {{uri: /}}", ("", "route and redirect exclude each other"))
    refused(f"{TO}, directResponse: {{status: 200}}", ("", "route and directResponse exclude each other"))
    refused("redirect: {uri: /}, fault: {delay: {fixedDelay: 1s}}", ("fault", "has no place beside `redirect`"))
    refused("directResponse: {status: 200}, rewrite: {uri: /}", ("rewrite", "has no place beside `directResponse`"))


def test_delegates() -> None:
    refused(f"{TO}, delegate: {{name: b}}", ("", "a rule that delegates cannot have route"))
    refused("delegate: {namespace: a.b}", ("delegate.name", "is required"), ("delegate.namespace", "not a namespace"))
    assert_refused("VirtualService", "http: [{delegate: {name: b}}]", ("http[0].delegate", "cannot delegate again"))
    assert error_texts("VirtualService", f"http: [{{{TO}}}]") == []


def test_matches() -> None:
    refused(
        f"{TO}, match: [{{uri: {{exact: /a, prefix: /b}}, method: {{prefix: ''}}, scheme: {{regex: '('}}, port: 70000,"
        " headers: {'a b': {exact: x}}, queryParams: {q: {regex: ''}}, sourceLabels: {a: '-'}, gateways: [a/b/c],"
        " sourceNamespace: a.b}]",
        ("match[0].uri", "exact and prefix exclude each other"),
        ("match[0].scheme.regex", "not a regular expression"),
        ("match[0].method.prefix", "must not be empty"),
        ('match[0].headers["a b"]', "not a header name"),
        ("match[0].queryParams.q.regex", "empty regular expression"),
        ("match[0].port", "70000 is not a port"),
        ("match[0].sourceLabels.a", "not a label value"),
        ("match[0].gateways[0]", "does not name a gateway"),
        ("match[0].sourceNamespace", "not a namespace"),
    )


def test_destinations_and_weights() -> None:
    refused("route: [{weight: 1}]", ("route[0].destination", "is required"))
    refused("route: [{destination: {}}]", ("route[0].destination.host", "is required"))
    refused("route: [{destination: {host: '*'}}]", ("route[0].destination.host", "cannot be every host"))
    refused("route: [{destination: {host: 'a b'}}]", ("route[0].destination.host", "not a DNS label"))
    refused(
        "route: [{destination: {host: a, subset: a.b, port: {number: 0}}}]",
        ("route[0].destination.subset", "not a subset name"),
        ("route[0].destination.port.number", "0 is not a port"),
    )
    refused("route: [{destination: {host: a}, weight: -1}]", ("route[0].weight", "negative"))
    refused("route: [{destination: {host: a}}, {destination: {host: b}}]", ("route", "add up to 0"))


def test_redirects() -> None:
    refused("redirect: {}", ("redirect", "changes nothing"))
    refused("redirect: {port: 80, derivePort: FROM_REQUEST_PORT}", ("redirect", "port and derivePort exclude"))
    refused(
        "redirect: {uri: /, redirectCode: 200, scheme: ftp, port: 65536}",
        ("redirect.redirectCode", "200 is not a redirect"),
        ("redirect.scheme", "'ftp' is not a scheme"),
        ("redirect.port", "65536 is not a port"),
    )


def test_direct_responses() -> None:
    refused("directResponse: {}", ("directResponse.status", "0 is not an HTTP status"))
    refused(
        "directResponse: {status: 600, body: {string: a, bytes: '***'}}",
        ("directResponse.status", "600"),
        ("directResponse.body", "string and bytes exclude"),
        ("directResponse.body.bytes", "not base64"),
    )
    refused(
        f"directResponse: {{status: 200, body: {{string: {'x' * (1024 * 1024 + 1)}}}}}",
        ("directResponse.body", "more than the limit"),
    )
    large = warning_texts("VirtualService", rule(f"directResponse: {{status: 200, body: {{string: {'x' * 110_000}}}}}"))
    assert large[0].startswith("spec.http[0].directResponse.body: 110000 bytes travel with every push")


def test_rewrites() -> None:
    refused(f"{TO}, rewrite: {{}}", ("rewrite", "changes nothing"))
    refused(
        f"{TO}, rewrite: {{uri: /, uriRegexRewrite: {{match: '(', rewrite: x}}}}",
        ("rewrite", "exclude each other"),
        ("rewrite.uriRegexRewrite.match", "not a regular expression"),
    )
    refused(f"{TO}, rewrite: {{uriRegexRewrite: {{match: a}}}}", ("rewrite.uriRegexRewrite", "needs both"))


def test_the_authority_is_set_once() -> None:
    refused(
        f"{TO}, rewrite: {{authority: a}}, headers: {{request: {{set: {{Host: b}}}}}}",
        ("headers.request.set.Host", "the authority is set more than once: 'a' and 'b'"),
    )


def test_retries_and_timeouts() -> None:
    refused(f"{TO}, timeout: 0s", ("timeout", "shorter than 1ms"))
    refused(
        f"{TO}, retries: {{attempts: -1, perTryTimeout: 0.1ms, backoff: 0s, retryOn: '5xx, reset,teapot,999'}}",
        ("retries.attempts", "negative"),
        ("retries.perTryTimeout", "shorter"),
        ("retries.backoff", "shorter"),
        ("retries.retryOn", "' reset' is not a retry condition; remove the space"),
        ("retries.retryOn", "'teapot'"),
        ("retries.retryOn", "'999'"),
    )
    refused(f"{TO}, retries: {{perTryTimeout: 2s}}", ("retries", "`attempts` 0 turns retries off"))


def test_faults() -> None:
    refused(f"{TO}, fault: {{}}", ("fault", "needs `delay` or `abort`"))
    refused(
        f"{TO}, fault: {{delay: {{percent: 101, exponentialDelay: 1s}}, abort: {{httpStatus: 199, http2Error: x,"
        " percentage: {value: -1}}}",
        ("fault.delay.percent", "101 is not a percentage"),
        ("fault.delay.exponentialDelay", "not supported"),
        ("fault.abort.percentage.value", "-1 is not a percentage"),
        ("fault.abort", "httpStatus and http2Error exclude"),
        ("fault.abort.httpStatus", "199 is not an HTTP status"),
        ("fault.abort.http2Error", "not supported"),
    )
    refused(f"{TO}, fault: {{abort: {{grpcStatus: OOPS}}}}", ("fault.abort.grpcStatus", "'OOPS' is not a gRPC status"))
    assert warning_texts("VirtualService", rule(f"{TO}, fault: {{abort: {{}}, delay: {{}}}}")) == [
        "spec.http[0].fault.delay: delays nothing; set fixedDelay",
        "spec.http[0].fault.abort: aborts nothing; set httpStatus or grpcStatus",
    ]


def test_mirrors() -> None:
    refused(
        f"{TO}, mirror: {{host: b}}, mirrors: [{{percentage: {{value: 101}}}}], mirrorPercentage: {{value: -5}}",
        ("", "mirror and mirrors exclude each other"),
        ("mirrorPercentage.value", "-5"),
        ("mirrors[0].destination", "is required"),
        ("mirrors[0].percentage.value", "101"),
    )
    refused(f"{TO}, mirror: {{host: b}}, mirrorPercent: 101", ("mirrorPercent", "101 is not a percentage"))


def test_cors() -> None:
    refused(
        f"{TO}, corsPolicy: {{allowOrigins: [{{}}, {{regex: '('}}], allowMethods: [get, HUG], allowHeaders: ['a b'],"
        " exposeHeaders: [''], maxAge: 1.5s}",
        ("corsPolicy.allowOrigins[0]", "matches no origin"),
        ("corsPolicy.allowOrigins[1].regex", "not a regular expression"),
        ("corsPolicy.allowMethods[0]", "write GET"),
        ("corsPolicy.allowMethods[1]", "'HUG' is not an HTTP method"),
        ("corsPolicy.allowHeaders[0]", "not a header name"),
        ("corsPolicy.exposeHeaders[0]", "not a header name"),
        ("corsPolicy.maxAge", "finer than a second"),
    )
