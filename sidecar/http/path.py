"""Path normalisation as Envoy's normalize_path, merge_slashes and path_with_escaped_slashes_action do it. Pure."""

from __future__ import annotations

import re
from typing import Literal

_ESCAPED_SLASH = re.compile(rb"%(2[fF]|5[cC])")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_SLASHES = re.compile(rb"/{2,}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

#: Matches the paths that no normalisation can change: each segment begins with neither a dot nor another slash.
_START, _MORE = rb"[\w\-~!$&'()*+,;=:@]", rb"[\w\-.~!$&'()*+,;=:@]*"
PLAIN_PATH = re.compile(rb"(?=/)(?:/%b%b)*/?(?:\?[^#]*)?\Z" % (_START, _MORE)).match

EscapedSlashes = Literal["keep", "reject", "unescape_redirect", "unescape_forward"]


def escaped_slashes(path: bytes, action: EscapedSlashes) -> tuple[bytes, Literal["", "reject", "redirect"]]:
    """The path after path_with_escaped_slashes_action, and what is to be done about it."""
    name, mark, query = path.partition(b"?")
    if action == "keep" or _ESCAPED_SLASH.search(name) is None:
        return path, ""
    if action == "reject":
        return path, "reject"
    name = _ESCAPED_SLASH.sub(lambda found: b"/" if found[1][:1] == b"2" else b"\\", name)
    return name + mark + query, "redirect" if action == "unescape_redirect" else ""


def normalize(path: bytes) -> bytes | None:
    """RFC 3986 6.2.2: dot segments resolved, escapes of unreserved characters undone, `\\` read as `/`.

    None for a path that can not be normalised (it does not begin with a slash, or holds an escaped NUL).
    """
    name, mark, query = path.partition(b"?")
    if name[:1] != b"/" or b"%00" in name:
        return None
    name = _ESCAPE.sub(_unescape, name).replace(b"\\", b"/")
    out: list[bytes] = []
    segments = name.split(b"/")[1:]
    last = len(segments) - 1
    for index, segment in enumerate(segments):
        if segment == b"..":
            if out:
                out.pop()
        elif segment != b".":
            out.append(segment)
            continue
        if index == last:
            out.append(b"")
    return b"/" + b"/".join(out) + mark + query


def merge_slashes(path: bytes) -> bytes:
    """Runs of slashes become one; the query stays as it is."""
    name, mark, query = path.partition(b"?")
    return _SLASHES.sub(b"/", name) + mark + query


def _unescape(found: re.Match[bytes]) -> bytes:
    byte = int(found[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else found[0]
