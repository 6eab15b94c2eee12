"""VirtualService headers.request/response as Envoy's header options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envoy.config.core.v3 import base_pb2

from lugsail.api.virtual_service import HeaderOperations, Headers

_OPTION = base_pb2.HeaderValueOption


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """What to add and remove, and the authority that was set as if it were a header."""

    request_add: tuple[Any, ...] = ()
    request_remove: tuple[str, ...] = ()
    response_add: tuple[Any, ...] = ()
    response_remove: tuple[str, ...] = ()
    authority: str = ""

    def apply(self, target: Any) -> None:
        """Append to a Route or a weighted cluster, which name these fields alike."""
        target.request_headers_to_add.extend(self.request_add)
        target.request_headers_to_remove.extend(self.request_remove)
        target.response_headers_to_add.extend(self.response_add)
        target.response_headers_to_remove.extend(self.response_remove)


def header_changes(headers: Headers | None) -> HeaderChanges:
    """`set` comes before `add`, each in order of name; what is set wins as the authority."""
    if headers is None:
        return HeaderChanges()
    request = headers.request or HeaderOperations()
    response = headers.response or HeaderOperations()
    return HeaderChanges(
        request_add=_options(request),
        request_remove=tuple(name for name in request.remove if not _internal(name)),
        response_add=_options(response),
        response_remove=tuple(name for name in response.remove if not _internal(name)),
        authority=_authority(request.set) or _authority(request.add),
    )


def _options(operations: HeaderOperations) -> tuple[Any, ...]:
    out = []
    for values, action in ((operations.set, _OPTION.OVERWRITE_IF_EXISTS_OR_ADD), (operations.add, None)):
        for key, value in sorted(values.items()):
            if not _internal(key):
                option = _OPTION(header=base_pb2.HeaderValue(key=key, value=value))
                if action is not None:
                    option.append_action = action
                out.append(option)
    return tuple(out)


def _internal(name: str) -> bool:
    """Pseudo-headers and Host cannot be changed as headers."""
    return name.startswith(":") or name.lower() == "host"


def _authority(values: Mapping[str, str]) -> str:
    return next((v for k, v in sorted(values.items()) if k.lower() in (":authority", "host")), "")
