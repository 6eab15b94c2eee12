from __future__ import annotations

import pytest
import re2

from sidecar.codec.headers import RequestHeaders
from sidecar.config.routes import HostRewrite, PathRewrite, RouteAction
from sidecar.router.rewrite import rewrite_host, rewrite_path, rewrite_request, substitute


@pytest.mark.parametrize(
    ("rewrite", "path", "result"),
    [
        (PathRewrite(replacement=b"/new/", matched_len=5), b"/old/x?q=1", b"/new/x?q=1"),
        (PathRewrite(replacement=b"/new", matched_len=4), b"/old", b"/new"),
        (PathRewrite(replacement=b"/", matched_len=1), b"/a?x", b"/a?x"),
        (PathRewrite(replacement=b"/new"), b"/anything/at?all#f", b"/new?all#f"),
        (PathRewrite(replacement=rb"/y/\1", regex=re2.compile(b"/rx/(.*)")), b"/rx/a?b=/rx/c", b"/y/a?b=/rx/c"),
        (PathRewrite(replacement=rb"\2-\1", regex=re2.compile(b"(a)(b)?")), b"/a/ab", b"/-a/b-a"),
        (PathRewrite(replacement=b"x", regex=re2.compile(b"o")), b"/foo#o", b"/fxx#o"),
        (PathRewrite(replacement=b"", regex=re2.compile(b".*")), b"/foo", None),
        (PathRewrite(replacement=b"/b", regex=re2.compile(b"/nothing")), b"/foo", b"/foo"),
    ],
)
def test_paths(rewrite: PathRewrite, path: bytes, result: bytes | None) -> None:
    assert rewrite_path(rewrite, path) == result


def test_substitution_knows_the_whole_match_and_backslashes() -> None:
    assert substitute(re2.compile(b"b+"), rb"<\0\\>", b"abbc") == rb"a<bb\>c"


@pytest.mark.parametrize(
    ("rewrite", "host"),
    [
        (HostRewrite(kind="literal", value=b"other.example"), b"other.example"),
        (HostRewrite(kind="header", value=b"x-host"), b"by-header"),
        (HostRewrite(kind="header", value=b"missing"), b"host:80"),
        (HostRewrite(kind="auto"), b"endpoint"),
        (HostRewrite(kind="path_regex", regex=re2.compile(b"/(\\w+)/.*"), value=rb"\1.example"), b"path.example"),
    ],
)
def test_hosts(rewrite: HostRewrite, host: bytes) -> None:
    request = RequestHeaders(b"GET", b"/path/x?y", b"host:80")
    request[b"x-host"] = b"by-header"
    rewrite_host(request, rewrite, False, b"endpoint")
    assert request.authority == host
    assert b"x-forwarded-host" not in request


def test_the_host_that_was_may_be_kept() -> None:
    request = RequestHeaders(b"GET", b"/", b"host")
    request[b"x-forwarded-host"] = b"first"
    rewrite_host(request, HostRewrite(kind="literal", value=b"other"), True)
    assert request.get_all(b"x-forwarded-host") == [b"first", b"host"]


def test_a_request_gets_both_and_keeps_the_path_that_was() -> None:
    action = RouteAction(
        cluster="c",
        path_rewrite=PathRewrite(replacement=b"/new", matched_len=4),
        host_rewrite=HostRewrite(kind="literal", value=b"other"),
    )
    request = RequestHeaders(b"GET", b"/old?q", b"host")
    rewrite_request(request, action)
    assert (request.path, request.authority, request[b"x-envoy-original-path"]) == (b"/new?q", b"other", b"/old?q")
    request = RequestHeaders(b"GET", b"/old?q", b"host")
    rewrite_request(request, action, envoy_headers=False)
    assert (request.path, dict(request)) == (b"/new?q", {})
