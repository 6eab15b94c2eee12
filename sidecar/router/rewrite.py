"""Rewriting path and authority of a request before it goes upstream (RouteAction's rewrites, Envoy's semantics)."""

from __future__ import annotations

from sidecar.codec.headers import RequestHeaders
from sidecar.config.matchers import Regex
from sidecar.config.routes import HostRewrite, PathRewrite, RouteAction

ORIGINAL_PATH = b"x-envoy-original-path"
ORIGINAL_HOST = b"x-envoy-original-host"
FORWARDED_HOST = b"x-forwarded-host"


def rewrite_request(request: RequestHeaders, action: RouteAction, envoy_headers: bool = True) -> None:
    """Do both rewrites of an action, but for host rewrite "auto", whose host is known only with the endpoint.

    With `envoy_headers`, x-envoy-original-path keeps the path that was.
    """
    if action.host_rewrite is not None:
        host = request.authority
        rewrite_host(request, action.host_rewrite, action.append_x_forwarded_host)
        if envoy_headers and request.authority != host:
            request.set(ORIGINAL_HOST, host)
    if action.path_rewrite is not None:
        path = rewrite_path(action.path_rewrite, request.path)
        if path is not None:
            if envoy_headers:
                request.set(ORIGINAL_PATH, request.path)
            request.path = path


def rewrite_path(rewrite: PathRewrite, path: bytes) -> bytes | None:
    """The new path with its query kept; None where there is nothing to rewrite to."""
    end = _path_end(path)
    if rewrite.regex is not None:
        replaced = substitute(rewrite.regex, rewrite.replacement, path[:end])
        return replaced + path[end:] if replaced else None
    matched = end if rewrite.matched_len is None else rewrite.matched_len
    return rewrite.replacement + path[matched:]


def rewrite_host(
    request: RequestHeaders, rewrite: HostRewrite, append_forwarded_host: bool, endpoint_hostname: bytes = b""
) -> None:
    """Change the authority. For kind "auto" the caller gives the endpoint's host name; empty changes nothing."""
    if rewrite.kind == "literal":
        host = rewrite.value
    elif rewrite.kind == "header":
        host = request.get(rewrite.value, b"")
    elif rewrite.kind == "auto":
        host = endpoint_hostname
    else:
        host = substitute(rewrite.regex, rewrite.value, request.path[: _path_end(request.path)])
    if not host:
        return
    if append_forwarded_host and request.authority and request.get_all(FORWARDED_HOST)[-1:] != [request.authority]:
        request.add(FORWARDED_HOST, request.authority)
    request.authority = host


def substitute(pattern: Regex, template: bytes, text: bytes) -> bytes:
    """Every match of `pattern` in `text` replaced, with RE2's rewrite syntax (\\0 to \\9, \\\\)."""
    if b"\\" not in template:
        return bytes(pattern.sub(lambda match: template, text))
    return bytes(pattern.sub(lambda match: _expand(template, match), text))


def _expand(template: bytes, match: Regex) -> bytes:
    out: list[bytes] = []
    position = 0
    while (found := template.find(b"\\", position)) >= 0:
        out.append(template[position:found])
        after = template[found + 1 : found + 2]
        out.append((match.group(int(after)) or b"") if after.isdigit() else after)
        position = found + 2
    out.append(template[position:])
    return b"".join(out)


def _path_end(path: bytes) -> int:
    """Where the query or fragment begins."""
    for index in (path.find(b"?"), path.find(b"#")):
        if index >= 0:
            path = path[:index]
    return len(path)
