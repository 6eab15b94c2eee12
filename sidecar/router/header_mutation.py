"""Applying a route's header additions, replacements and removals to a request or response head."""

from __future__ import annotations

from sidecar.codec.headers import Headers
from sidecar.config.routes import HeaderAction, HeaderMutations
from sidecar.telemetry.stream_info import StreamInfo

_APPEND = HeaderAction.APPEND_IF_EXISTS_OR_ADD
_ADD = HeaderAction.ADD_IF_ABSENT
_EXISTING = HeaderAction.OVERWRITE_IF_EXISTS


def apply_mutations(headers: Headers, mutations: HeaderMutations, info: StreamInfo) -> None:
    """Change `headers` level by level.

    Within a level Envoy removes first; then it decides by what is there, and only then replaces, and appends last. So
    two additions "if absent" of one name both arrive, and an addition follows a replacement written after it.
    """
    for level in mutations:
        for name in level.remove:
            headers.remove(name)
        append: list[tuple[bytes, bytes]] = []
        replace: list[tuple[bytes, bytes]] = []
        for change in level.change:
            value = change.value
            if not isinstance(value, bytes):
                value = value(info)
            if not value and not change.keep_empty:
                continue
            action = change.action
            if action is _APPEND or (action is _ADD and change.name not in headers):
                append.append((change.name, value))
            elif action is not _ADD and (action is not _EXISTING or change.name in headers):
                replace.append((change.name, value))
        for name, value in replace:
            headers.set(name, value)
        for name, value in append:
            headers.add(name, value)
