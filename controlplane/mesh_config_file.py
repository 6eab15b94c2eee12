"""The mesh config's file: read at the start, and again whenever it is another one.

A file that is wrong or gone later changes nothing: what was read last stays in force, and the error is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from controlplane.model.mesh_config import MeshConfig, mesh_config_of
from lugsail.api.errors import DocumentError, InvalidResource
from lugsail.api.mesh_config import load_mesh_config

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.1
SIZE_LIMIT_BYTES = 1_000_000


class BadMeshConfig(Exception):
    """The file cannot be used; the text names it, the field, and what would be right."""


class MeshConfigFile:
    """`current` is what is in force. Building it reads the file: raises BadMeshConfig."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: str | None = None
        self._seen = self._signature()
        self.current = self._read()

    async def watch(self, changed: Callable[[], None]) -> None:
        """Until cancelled: call `changed` whenever `current` is another one."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            signature = self._signature()
            if signature == self._seen:
                continue
            self._seen = signature
            try:
                self.current = self._read()
            except BadMeshConfig as error:
                self.error = str(error)
                log.error("%s; the mesh config read last stays in force", error)
                continue
            self.error = None
            log.info("%s: read anew", self.path)
            changed()

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def _read(self) -> MeshConfig:
        try:
            with self.path.open("rb") as stream:
                data = stream.read(SIZE_LIMIT_BYTES + 1)
            if len(data) > SIZE_LIMIT_BYTES:
                raise BadMeshConfig(f"{self.path}: is larger than {SIZE_LIMIT_BYTES} bytes")
            loaded = load_mesh_config(data.decode(), str(self.path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadMeshConfig(f"{self.path}: cannot be read: {error}") from error
        except (DocumentError, InvalidResource) as error:
            raise BadMeshConfig(str(error)) from error
        for warning in loaded.warnings:
            log.warning("%s: %s", self.path, warning)
        return mesh_config_of(loaded.spec)
