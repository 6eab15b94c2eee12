"""The Location of a redirect (envoy.config.route.v3.RedirectAction)."""

from __future__ import annotations

from sidecar.codec.headers import RequestHeaders
from sidecar.config.routes import Redirect
from sidecar.router.rewrite import rewrite_path


def location(request: RequestHeaders, redirect: Redirect | None) -> bytes:
    """The absolute URL to answer with; with None the request's own (what Envoy adds to a direct response of 201)."""
    if redirect is None:
        return b"%s://%s%s" % (request.scheme, request.authority, request.path)
    scheme = redirect.scheme or (b"https" if redirect.https else request.scheme)
    host = redirect.host or _request_host(request, scheme, redirect.port is not None)
    if redirect.port is not None:
        host = b"%s:%d" % (host, redirect.port)
    path = _path(request.path, redirect)
    return b"%s://%s%s%s" % (scheme, host, b"" if path.startswith(b"/") else b"/", path)


def _path(path: bytes, redirect: Redirect) -> bytes:
    if redirect.path_rewrite is not None:
        path = rewrite_path(redirect.path_rewrite, path) or path
    if redirect.path is not None:
        if b"?" in redirect.path:
            return redirect.path
        _, mark, query = path.partition(b"?")
        path = redirect.path + mark + query
    return path.partition(b"?")[0] if redirect.strip_query else path


def _request_host(request: RequestHeaders, new_scheme: bytes, drop_port: bool) -> bytes:
    """The request's host, without its port where another is given, or where it is the default of the old scheme."""
    host = request.authority
    name, colon, port = host.rpartition(b":")
    if not colon or b"]" in port:
        return host
    came_by = request.get(b"x-forwarded-proto", b"")
    if new_scheme != came_by and (came_by, port) in ((b"https", b"443"), (b"http", b"80")):
        drop_port = True
    return name if drop_port else host
