"""The message istio.networking.nds.v1.NameTable (NDS), built here because no package has it.

Source: Istio's pkg/dns/proto/nds.proto. It lives in a descriptor pool of its own, so that it cannot meet another
definition of the same name in one process.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "istio.networking.nds.v1"
_STRING, _MESSAGE = 9, 11  # FieldDescriptorProto.Type
_OPTIONAL, _REPEATED = 1, 3  # FieldDescriptorProto.Label


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="nds.proto", package=_PACKAGE, syntax="proto3")
    table = file.message_type.add(name="NameTable")
    info = table.nested_type.add(name="NameInfo")
    info.field.add(name="ips", number=1, type=_STRING, label=_REPEATED)
    for number, name in ((2, "registry"), (3, "shortname"), (4, "namespace")):
        info.field.add(name=name, number=number, type=_STRING, label=_OPTIONAL)
    entry = table.nested_type.add(name="TableEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, type=_STRING, label=_OPTIONAL)
    info_type = f".{_PACKAGE}.NameTable.NameInfo"
    entry.field.add(name="value", number=2, type=_MESSAGE, label=_OPTIONAL, type_name=info_type)
    entry_type = f".{_PACKAGE}.NameTable.TableEntry"
    table.field.add(name="table", number=1, type=_MESSAGE, label=_REPEATED, type_name=entry_type)
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())

NameTable: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.NameTable"))
