"""Counts the responses in a stream of HTTP/1.1 bytes. Pure.

Only what a benchmark's backend sends is understood: responses framed by Content-Length. Anything else is an error, not
a guess.
"""

from __future__ import annotations

HEAD_LIMIT_BYTES = 64 * 1024


class UnexpectedResponse(ValueError):
    """The stream holds something else than responses with Content-Length."""


class ResponseReader:
    """Feed it what a connection received; it gives the statuses of the responses that are complete."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[int]:
        """The statuses of the responses that `data` completes, often one, often none. Raises UnexpectedResponse."""
        buffer = self._buffer + data if self._buffer else data
        statuses: list[int] = []
        while buffer:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(buffer) > HEAD_LIMIT_BYTES:
                    raise UnexpectedResponse(f"a head of more than {HEAD_LIMIT_BYTES} bytes")
                break
            head = buffer[: end + 2].lower()
            size = end + 4 + content_length(head)
            if len(buffer) < size:
                break
            statuses.append(status(head))
            buffer = buffer[size:]
        self._buffer = buffer
        return statuses


def status(head: bytes) -> int:
    """The status of a lower-case response head."""
    if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit():
        raise UnexpectedResponse(f"not a response: {head[:40]!r}")
    return int(head[9:12])


def content_length(head: bytes) -> int:
    """Content-Length of a lower-case response head."""
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        raise UnexpectedResponse(f"a response without Content-Length: {head[:200]!r}")
    text = head[start + 17 : head.find(b"\r\n", start + 17)].strip()
    if not text.isdigit():
        raise UnexpectedResponse(f"Content-Length {text[:40]!r}")
    return int(text)
