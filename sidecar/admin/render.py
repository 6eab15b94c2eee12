"""Messages as Envoy's admin page prints them: JSON with proto field names."""

from __future__ import annotations

import base64
import importlib
import logging
import pkgutil
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

log = logging.getLogger(__name__)

_TYPE_PREFIX = "type.googleapis.com/"
_looked_for: set[str] = set()


def to_dict(message: Message) -> dict[str, Any]:
    """The message as JSON data; the messages inside `Any` fields are spelt out.

    A type that this installation does not know is shown with its bytes in base64.
    """
    try:
        return _convert(message)
    except TypeError:
        pass
    _import_types(message)
    try:
        return _convert(message)
    except TypeError as error:
        return {"error": f"holds a type that is not known here: {error}"}


def any_to_dict(value: AnyMessage) -> dict[str, Any]:
    """As `to_dict` for one packed resource."""
    shown = to_dict(value)
    if "error" in shown:
        return {"@type": value.type_url, "value": base64.b64encode(value.value).decode("ascii")}
    return shown


def _convert(message: Message) -> dict[str, Any]:
    converted: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return converted


def _import_types(message: Message) -> None:
    """Import the definitions of the packed types, which printing finds by name: those that no code has needed yet."""
    for type_url in _packed_types(message.SerializeToString()):
        package = type_url.removeprefix(_TYPE_PREFIX).rpartition(".")[0]
        if package in _looked_for:
            continue
        _looked_for.add(package)
        try:
            folder = importlib.import_module(package)
            for module in pkgutil.iter_modules(folder.__path__):
                if module.name.endswith("_pb2"):
                    importlib.import_module(f"{package}.{module.name}")
        except (ImportError, AttributeError) as error:
            log.debug("no definitions of %s here: %s", type_url, error)


def _packed_types(data: bytes) -> set[str]:
    """The type URLs that stand in serialised bytes, wherever they are nested."""
    found = set()
    prefix = _TYPE_PREFIX.encode()
    at = data.find(prefix)
    while at >= 0:
        end = at + len(prefix)
        while end < len(data) and (data[end : end + 1].isalnum() or data[end] in b"._"):
            end += 1
        found.add(data[at:end].decode("ascii"))
        at = data.find(prefix, end)
    return found
