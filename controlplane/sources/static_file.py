"""A registry file: YAML documents of ServiceEntry and WorkloadEntry, watched for changes.

Write it atomically (rename): a file that is replaced is read within 100 ms. A file that cannot be read or is wrong
anywhere changes nothing; what is wrong is told with its path, line and field.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from controlplane.sources.base import REGISTRY_KINDS, Sink, difference
from lugsail.api.base import Resource, ResourceKey
from lugsail.api.documents import Document, parse_documents
from lugsail.api.errors import DocumentError, InvalidResource
from lugsail.api.load import load_resource

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.05

# What tells one state of a file from another; None: there is no file.
Signature = tuple[int, int, int] | None


class RegistryError(ValueError):
    """The file says nothing that can be used; the text names the line and the field."""


def parse_registry(text: str, source: str) -> dict[ResourceKey, Resource]:
    """The resources of a registry file. Raises RegistryError with every error of the file."""
    if not text:
        # An interrupted writer leaves this behind; nobody empties a mesh this way on purpose.
        raise RegistryError(f"{source}: the file is empty; an empty registry is written as `---`")
    try:
        documents = parse_documents(text, source)
    except DocumentError as error:
        raise RegistryError(str(error)) from error
    found: dict[ResourceKey, Resource] = {}
    lines: dict[ResourceKey, int] = {}
    errors: list[str] = []
    for document in documents:
        try:
            resource = load_resource(document.data)
        except InvalidResource as error:
            errors.extend(f"{source}:{document.line_of(e.path)}: {error.ref}: {e}" for e in error.errors)
            continue
        problem = _problem(document, resource, lines)
        if problem:
            errors.append(problem)
            continue
        lines[resource.key] = document.line
        found[resource.key] = resource
    if errors:
        raise RegistryError("\n".join(errors))
    return found


def _problem(document: Document, resource: Resource, lines: Mapping[ResourceKey, int]) -> str | None:
    place = f"{document.source}:{document.line}: {resource.key}"
    if resource.kind not in REGISTRY_KINDS:
        right = " and ".join(sorted(REGISTRY_KINDS))
        return f"{place}: a registry holds {right} only; apply other kinds through the API"
    if resource.key in lines:
        return f"{place}: is here twice, first at line {lines[resource.key]}; keep one"
    return None


class StaticFileSource:
    """`path` need not exist yet: the first complete list is the first file that can be read."""

    def __init__(self, path: Path, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        self.path = path
        self._poll_interval_s = poll_interval_s
        self._known: dict[ResourceKey, Resource] = {}
        self._is_synced = False
        self._error: str | None = None

    @property
    def name(self) -> str:
        return f"file {self.path}"

    async def run(self, sink: Sink) -> None:
        """Read at once, then whenever the file is another one."""
        seen: Signature = (-1, -1, -1)
        while True:
            signature = self._signature()
            if signature != seen:
                seen = signature
                await self._read(sink)
            await asyncio.sleep(self._poll_interval_s)

    def _signature(self) -> Signature:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    async def _read(self, sink: Sink) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
            found = await asyncio.to_thread(parse_registry, text, str(self.path))
        except FileNotFoundError:
            self._fail(sink, f"{self.path}: there is no such file")
        except (OSError, UnicodeDecodeError) as error:
            self._fail(sink, f"{self.path}: cannot be read: {error}")
        except RegistryError as error:
            self._fail(sink, str(error))
        else:
            self._accept(sink, found)

    def _fail(self, sink: Sink, error: str) -> None:
        if error != self._error:
            self._error = error
            sink.failed(error)

    def _accept(self, sink: Sink, found: dict[ResourceKey, Resource]) -> None:
        changes = tuple(difference(self._known, found))
        self._known = found
        if changes or not self._is_synced:
            sink.apply(changes)
        if not self._is_synced:
            self._is_synced = True
            sink.synced()
        if self._error is not None:
            self._error = None
            sink.recovered()
