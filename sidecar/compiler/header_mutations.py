"""Header additions and removals of routes, virtual hosts and route configurations (core.v3.HeaderValueOption)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.compiler.ignored import check
from sidecar.config.rejected import At
from sidecar.config.routes import HeaderAction, HeaderLevel, HeaderMutation, HeaderMutations
from sidecar.telemetry.formatter import InvalidFormat, compile_substitution

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def request_mutations(message: Any, at: At) -> HeaderMutations:
    """What `request_headers_to_remove` and `request_headers_to_add` of a message do."""
    return _mutations(message.request_headers_to_add, message.request_headers_to_remove, at, "request_headers")


def response_mutations(message: Any, at: At) -> HeaderMutations:
    """What `response_headers_to_remove` and `response_headers_to_add` of a message do."""
    return _mutations(message.response_headers_to_add, message.response_headers_to_remove, at, "response_headers")


def _mutations(add: Sequence[Any], remove: Sequence[str], at: At, field: str) -> HeaderMutations:
    if not add and not remove:
        return ()
    level = HeaderLevel(
        remove=tuple(
            _name(name, at.field(f"{field}_to_remove", index), "removed") for index, name in enumerate(remove)
        ),
        change=tuple(_addition(option, at.field(f"{field}_to_add", index)) for index, option in enumerate(add)),
    )
    return (level,)


def _addition(option: Any, at: At) -> HeaderMutation:
    check(option, ("header", "append", "append_action", "keep_empty_value"), at)
    check(option.header, ("key", "value", "raw_value"), at.field("header"))
    action = HeaderAction(option.append_action)
    if option.HasField("append"):
        action = (
            HeaderAction.APPEND_IF_EXISTS_OR_ADD if option.append.value else HeaderAction.OVERWRITE_IF_EXISTS_OR_ADD
        )
    try:
        value = compile_substitution(option.header.raw_value or option.header.value.encode())
    except InvalidFormat as error:
        at.field("header.value").reject(str(error))
    if isinstance(value, bytes) and any(byte in value for byte in b"\r\n\0"):
        at.field("header.value").reject("a header value cannot hold line ends or NUL")
    return HeaderMutation(
        action=action,
        name=_name(option.header.key, at.field("header.key"), "modified"),
        value=value,
        keep_empty=option.keep_empty_value,
    )


def _name(text: str, at: At, what: str) -> bytes:
    name = text.lower().encode()
    if name.startswith(b":") or name == b"host":
        at.reject(f"{text!r}: :-prefixed or host headers may not be {what}; use the route's rewrites")
    if not name or not _TOKEN.issuperset(name):
        at.reject(f"{text!r} is not a header name (RFC 9110, section 5.1)")
    return name
