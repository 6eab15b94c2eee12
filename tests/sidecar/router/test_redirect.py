"""Expectations come from asking Envoy 1.40 the same."""

from __future__ import annotations

import pytest
from envoy.config.route.v3.route_components_pb2 import RedirectAction

from sidecar.codec.headers import RequestHeaders
from sidecar.compiler.route_action import compile_redirect
from sidecar.config.rejected import At
from sidecar.config.routes import RouteMatch
from sidecar.router.redirect import location
from tests.sidecar.compiler.protos import proto


@pytest.mark.parametrize(
    ("redirect", "path", "expected"),
    [
        ("{host_redirect: h.x, port_redirect: 8443, https_redirect: true}", b"/rd/x?q=1", b"https://h.x:8443/rd/x?q=1"),
        ("{path_redirect: /new}", b"/rd/x?q=1", b"http://127.0.0.1:8000/new?q=1"),
        ("{path_redirect: '/new?a=b', strip_query: true}", b"/rd/x?q=1", b"http://127.0.0.1:8000/new?a=b"),
        ("{prefix_rewrite: /nw, strip_query: true}", b"/rd/x?q=1", b"http://127.0.0.1:8000/nw/x"),
        (
            r"{regex_rewrite: {pattern: {regex: '/(r)(d)'}, substitution: '/\2\1'}}",
            b"/rd/x?q=1",
            b"http://127.0.0.1:8000/dr/x?q=1",
        ),
        ("{https_redirect: true}", b"/rd", b"https://127.0.0.1:8000/rd"),
        ("{port_redirect: 81}", b"/rd", b"http://127.0.0.1:81/rd"),
        ("{path_redirect: noslash}", b"/rd", b"http://127.0.0.1:8000/noslash"),
        ("{path_redirect: ''}", b"/rd?x", b"http://127.0.0.1:8000/rd?x"),
        ("{scheme_redirect: FTP}", b"/rd", b"ftp://127.0.0.1:8000/rd"),
    ],
)
def test_locations(redirect: str, path: bytes, expected: bytes) -> None:
    compiled = compile_redirect(proto(RedirectAction, redirect), RouteMatch(path=b"/rd"), At("r"))
    request = RequestHeaders(b"GET", path, b"127.0.0.1:8000")
    request[b"x-forwarded-proto"] = b"http"
    assert location(request, compiled) == expected


@pytest.mark.parametrize(
    ("authority", "redirect", "host"),
    [
        (b"a:80", "{https_redirect: true}", b"https://a/"),
        (b"a:81", "{https_redirect: true}", b"https://a:81/"),
        (b"a:80", "{path_redirect: /}", b"http://a:80/"),
        (b"[::1]", "{port_redirect: 1}", b"http://[::1]:1/"),
        (b"[::1]:5", "{port_redirect: 1}", b"http://[::1]:1/"),
    ],
)
def test_the_default_port_of_the_old_scheme_goes(authority: bytes, redirect: str, host: bytes) -> None:
    compiled = compile_redirect(proto(RedirectAction, redirect), RouteMatch(), At("r"))
    request = RequestHeaders(b"GET", b"/", authority)
    request[b"x-forwarded-proto"] = b"http"
    assert location(request, compiled) == host


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("MOVED_PERMANENTLY", 301),
        ("FOUND", 302),
        ("SEE_OTHER", 303),
        ("TEMPORARY_REDIRECT", 307),
        ("PERMANENT_REDIRECT", 308),
    ],
)
def test_statuses(name: str, status: int) -> None:
    redirect = compile_redirect(proto(RedirectAction, f"{{response_code: {name}}}"), RouteMatch(), At("r"))
    assert redirect.status == status


def test_a_request_s_own_url() -> None:
    assert location(RequestHeaders(b"GET", b"/a?b", b"host:1"), None) == b"http://host:1/a?b"
