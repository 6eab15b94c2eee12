"""A request told back as JSON, in the shape that httpbin made common. Pure: takes the parts, not the request object."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any


def canonical(name: str) -> str:
    """`x-forwarded-for` as `X-Forwarded-For`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def headers_of(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their canonical names, sorted; repeated ones joined with a comma."""
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(canonical(name), []).append(value)
    return {name: ",".join(found[name]) for name in sorted(found)}


def values_of(items: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Query or form fields: one value as a string, several as a list."""
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def origin_of(forwarded_for: str | None, peer: str | None) -> str:
    """Where the request came from: X-Forwarded-For where there is one, else the connection's address."""
    return forwarded_for or peer or "unknown"


def body_of(body: bytes, form: Mapping[str, Any] | None) -> dict[str, Any]:
    """`data`, `form` and `json` of a body; `form` is given when the body was a form.

    `data` is the text, or a base64 `data:` URL of bytes that are no text; `json` is null unless the body is JSON.
    """
    if form is not None:
        return {"data": "", "form": form, "json": None}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(body).decode()
        return {"data": f"data:application/octet-stream;base64,{encoded}", "form": {}, "json": None}
    try:
        parsed = json.loads(text) if text else None
    except ValueError:
        parsed = None
    return {"data": text, "form": {}, "json": parsed}
