"""Merging a patch's value into a message: fields that are set win, lists grow, maps are merged."""

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from controlplane.translate.protos import any_of

# Messages that are one value: a new one replaces the old one whole.
_WHOLE = ("google.protobuf.Duration", "google.protobuf.Timestamp")
_WRAPPERS = "google.protobuf."


class BadPatch(ValueError):
    """The value of a patch is not the message that it should be."""


def parse(message_class: Any, value: dict[str, object]) -> Any:
    """The value as a message. Raises BadPatch."""
    try:
        return ParseDict(value, message_class(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError) as error:
        raise BadPatch(f"value is not a {message_class.DESCRIPTOR.name} of Envoy: {error}") from None


def merge(target: Any, source: Any) -> None:
    """Merge `source` into `target`, both of one type."""
    for field, value in source.ListFields():
        if isinstance(value, Message):
            _merge_message(target, field, value)
        elif hasattr(value, "MergeFrom"):  # a list or a map
            getattr(target, field.name).MergeFrom(value)
        else:
            setattr(target, field.name, value)


def _merge_message(target: Any, field: Any, value: Any) -> None:
    name = field.message_type.full_name
    inner = getattr(target, field.name)
    if name == AnyMessage.DESCRIPTOR.full_name and inner.type_url == value.type_url:
        inner.CopyFrom(_merge_any(inner, value))
    elif name in _WHOLE or name.startswith(_WRAPPERS) or not target.HasField(field.name):
        inner.CopyFrom(value)
    else:
        merge(inner, value)


def _merge_any(target: AnyMessage, source: AnyMessage) -> AnyMessage:
    """Two packed messages of one type, merged as that type."""
    name = target.type_url.rpartition("/")[2]
    message_class = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))
    message, addition = message_class(), message_class()
    target.Unpack(message)
    source.Unpack(addition)
    merge(message, addition)
    return any_of(message)
