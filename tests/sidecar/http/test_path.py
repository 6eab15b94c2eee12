"""Path normalisation."""

from __future__ import annotations

import pytest

from sidecar.http.path import PLAIN_PATH, escaped_slashes, merge_slashes, normalize


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/../../b", b"/b"),
        (b"/a/..", b"/"),
        (b"/a/.", b"/a/"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/%41%7e%2f", b"/A~%2f"),
        (b"/a\\b", b"/a/b"),
        (b"//a", b"//a"),
        (b"/a?x=/../y", b"/a?x=/../y"),
        (b"/a%00", None),
        (b"*", None),
    ],
)
def test_normalize(path: bytes, expected: bytes | None) -> None:
    assert normalize(path) == expected
    if expected is not None:
        assert normalize(expected) == expected


@pytest.mark.parametrize("path", [b"/", b"/a/b", b"/a.b/c-d", b"/a/", b"/a?b=%2f//../c"])
def test_plain_paths_are_normal(path: bytes) -> None:
    assert PLAIN_PATH(path)
    assert normalize(path) == path
    assert merge_slashes(path) == path


@pytest.mark.parametrize("path", [b"", b"*", b"//", b"/a//b", b"/.", b"/a/../b", b"/%41", b"/a\\b", b"/a#b", b"/a?b#c"])
def test_suspicious_paths_are_not_plain(path: bytes) -> None:
    assert not PLAIN_PATH(path)


def test_slashes() -> None:
    assert merge_slashes(b"//a///b?c=//d") == b"/a/b?c=//d"
    assert escaped_slashes(b"/a%2Fb", "keep") == (b"/a%2Fb", "")
    assert escaped_slashes(b"/a%2Fb", "reject")[1] == "reject"
    assert escaped_slashes(b"/a%2Fb%5c?x=%2f", "unescape_forward") == (b"/a/b\\?x=%2f", "")
    assert escaped_slashes(b"/a%2fb", "unescape_redirect") == (b"/a/b", "redirect")
