"""Bodies of HTTP requests: decompressed, within the limit, or a refusal in the receiver's own form."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from services.tracing.receive.intake import BODY_LIMIT_BYTES


class BadBody(Exception):
    """With the HTTP status for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def read_body(request: web.Request) -> bytes:
    """Raises BadBody: 413 too large, 415 an unknown encoding, 400 cut off or not what its encoding says."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate", ""):
        raise BadBody(415, f"Content-Encoding {encoding[:40]!r} is not supported: use gzip, deflate or none")
    if (request.content_length or 0) > BODY_LIMIT_BYTES:
        raise _too_large()
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except (web.RequestPayloadError, HttpProcessingError, ValueError) as error:
        raise BadBody(400, f"the body cannot be read: {error}") from error


def media_type(request: web.Request) -> str:
    """Of the body, without parameters; empty where none is given."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _too_large() -> BadBody:
    return BadBody(413, f"the body has more than {BODY_LIMIT_BYTES} bytes: send smaller batches")
