"""The message lugsail.workload.v1.Workload: who runs at an address, for the metrics of proxies.

Made for Lugsail after Istio's workload.proto; the sidecar describes the same message. It lives in a descriptor
pool of its own, so that it cannot meet another definition of the same name in one process.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "lugsail.workload.v1"
_STRING, _OPTIONAL = 9, 1  # FieldDescriptorProto.Type, FieldDescriptorProto.Label
_FIELDS = (
    "address",
    "name",
    "namespace",
    "app",
    "version",
    "canonical_service",
    "canonical_revision",
    "service_account",
    "cluster_id",
)


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="lugsail_workload.proto", package=_PACKAGE, syntax="proto3")
    message = file.message_type.add(name="Workload")
    for number, name in enumerate(_FIELDS, start=1):
        message.field.add(name=name, number=number, type=_STRING, label=_OPTIONAL)
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())

Workload: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Workload"))
