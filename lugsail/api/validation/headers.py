"""Header names and values, as matched and as changed."""

import re

from lugsail.api.validation.place import Place
from lugsail.api.virtual_service import HeaderOperations, Headers

# RFC 9110 section 5.6.2, token.
_NAME = re.compile(r"[-!#$%&'*+.^_`|~A-Za-z0-9]+\Z")
_NAME_HINT = "letters, digits and !#$%&'*+-.^_`|~ are allowed"
# RFC 9113 section 8.3: what a match may name though it is no header.
_PSEUDO_HEADERS = frozenset((":method", ":scheme", ":authority", ":path", ":status"))
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_JWT_CLAIM = re.compile(r"@request\.auth\.claims(?:\.|\[)", re.IGNORECASE)
_AUTHORITY_NAMES = frozenset((":authority", "host"))
# One command operator, `%NAME%`, `%NAME(arguments)%` or `%NAME(arguments):LENGTH%`, or an escaped per cent sign.
_COMMAND = re.compile(r"%(?:%|[^%()]+(?:\([^)]*\)(?::\d+)?)? *%)")


def is_jwt_claim(name: str) -> bool:
    """A header match that in truth reads a claim of the request's token."""
    return _JWT_CLAIM.match(name) is not None


def check_matched_name(place: Place, name: str) -> None:
    """A header to match on."""
    if not is_jwt_claim(name) and name not in _PSEUDO_HEADERS and not _NAME.match(name):
        place.fail(f"{name!r} is not a header name", _NAME_HINT)


def check_cors_name(place: Place, name: str) -> None:
    """A header that CORS allows or exposes; `*` is all."""
    if not _NAME.match(name):
        place.fail(f"{name!r} is not a header name", _NAME_HINT)


def check_value(place: Place, value: str) -> None:
    """A header value for Envoy, where `%` opens a command operator."""
    if _CONTROL.search(value):
        place.fail("a control character in a header value", "remove it")
    elif "%" in _COMMAND.sub("", value):
        place.fail(f"{value!r} has a % that neither opens nor closes a command", "write %% for a per cent sign")


def check_headers(place: Place, headers: Headers | None) -> None:
    """Header changes of a route or of one of its destinations."""
    if headers is None:
        return
    if headers.request is not None:
        _check_operations(place / "request", headers.request, authority_allowed=True)
    if headers.response is not None:
        _check_operations(place / "response", headers.response, authority_allowed=False)


def _check_operations(place: Place, operations: HeaderOperations, *, authority_allowed: bool) -> None:
    for verb, changes in (("set", operations.set), ("add", operations.add)):
        for name, value in changes.items():
            here = place / verb / name
            if not (authority_allowed and name.lower() in _AUTHORITY_NAMES):
                _check_changed_name(here, name)
            check_value(here, value)
    for index, name in enumerate(operations.remove):
        _check_changed_name(place / "remove" / index, name)


def _check_changed_name(place: Place, name: str) -> None:
    if not name:
        place.fail("a header without a name")
    elif name.lower() == "host":
        place.fail("the Host header cannot be changed here", "set it in a request's `set`, or use `rewrite.authority`")
    elif name.startswith(":"):
        place.fail(f"the pseudo header {name} cannot be changed", "use `rewrite` for path and authority")


def check_authority_once(place: Place, rewritten: str, headers: Headers | None) -> None:
    """The authority may be set in one place only; Envoy would not say which of two wins."""
    operations = headers.request if headers is not None else None
    if operations is None:
        return
    earlier = rewritten
    for verb, changes in (("set", operations.set), ("add", operations.add)):
        for name, value in changes.items():
            if name.lower() not in _AUTHORITY_NAMES:
                continue
            if earlier:
                here = place / "headers" / "request" / verb / name
                here.fail(f"the authority is set more than once: {earlier!r} and {value!r}", "keep one of them")
            earlier = value
