"""Access logs of listeners: one line a request in Istio's text format."""

from functools import lru_cache
from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2

from controlplane.model.mesh_config import MeshConfig
from controlplane.translate.protos import any_of


@lru_cache(maxsize=16)
def access_logs(mesh: MeshConfig) -> tuple[Any, ...]:
    """The access logs that the mesh asks for: none when it names no file."""
    if not mesh.access_log_file:
        return ()
    log = file_pb2.FileAccessLog(
        path=mesh.access_log_file,
        log_format=substitution_format_string_pb2.SubstitutionFormatString(
            text_format_source=base_pb2.DataSource(inline_string=mesh.access_log_format)
        ),
    )
    return (accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=any_of(log)),)
