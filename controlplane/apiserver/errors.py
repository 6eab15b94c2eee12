"""Failures as Kubernetes says them: a `Status` object in the body."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from controlplane.apiserver.storage import AlreadyExists, Conflict, NotFound, StoreError
from lugsail.api.errors import FieldError, InvalidResource

log = logging.getLogger(__name__)

_REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    507: "InsufficientStorage",
}


class ApiError(Exception):
    """An answer that is an error; `details` go into the Status."""

    def __init__(self, code: int, message: str, reason: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details = details


def status_object(error: ApiError) -> dict[str, Any]:
    """meta/v1 Status."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "code": error.code,
    }
    if error.details:
        status["details"] = dict(error.details)
    return status


def causes(errors: Sequence[FieldError]) -> list[dict[str, str]]:
    """`details.causes` of a Status."""
    return [
        {
            "reason": "FieldValueInvalid",
            "message": f"{error.message}; {error.hint}" if error.hint else error.message,
            "field": error.path,
        }
        for error in errors
    ]


def as_api_error(error: Exception) -> ApiError | None:
    """The answer to an error of the store or of validation; None for one that is nobody's fault but ours."""
    match error:
        case ApiError():
            return error
        case InvalidResource():
            return ApiError(422, str(error), details={"name": error.ref, "causes": causes(error.errors)})
        case AlreadyExists():
            return ApiError(409, str(error), reason="AlreadyExists")
        case Conflict():
            return ApiError(409, str(error))
        case NotFound():
            return ApiError(404, str(error))
        case StoreError():
            return ApiError(error.status, str(error))
    return None


@web.middleware
async def error_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every failure as a Status; unknown ones are logged and answered with 500."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        api_error = ApiError(error.status, _http_message(request, error))
    except ConnectionError:
        raise  # the client left: there is nobody to answer
    except Exception as error:
        known = as_api_error(error)
        if known is None:
            log.exception("%s %s failed", request.method, request.path)
            known = ApiError(500, "an error of the control plane's own; its log has the details")
        api_error = known
    return web.json_response(status_object(api_error), status=api_error.code)


def _http_message(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"nothing is served at {request.path}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.method} is not allowed at {request.path}; allowed: {', '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"the body is larger than the limit; {error.text}"
    return error.text or error.reason
