"""Reads what -f names (files, folders, standard input) into validated resources, in an order that is safe to apply."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lugsail.cli.output import DATA, USAGE, CliError

if TYPE_CHECKING:
    from lugsail.api.kinds import Kind

SUFFIXES = (".yaml", ".yml", ".json")

# Make before break: what routes refer to comes before the routes; on deletion the other way round.
APPLY_ORDER = (
    "ServiceEntry",
    "WorkloadEntry",
    "DestinationRule",
    "Sidecar",
    "EnvoyFilter",
    "Gateway",
    "VirtualService",
)


@dataclass(frozen=True)
class Manifest:
    """One valid resource as the control plane takes it, and where it was read."""

    kind: Kind
    namespace: str
    name: str
    resource: dict[str, Any]
    place: str

    @property
    def ref(self) -> str:
        """As kubectl names it: `virtualservice.networking.istio.io/reviews`."""
        return f"{self.kind.singular}.{self.kind.group}/{self.name}"


@dataclass(frozen=True)
class Reading:
    """The valid resources, in the order written, and a line for each error and each warning."""

    manifests: list[Manifest]
    errors: list[str]
    warnings: list[str]


def read_sources(sources: Sequence[str]) -> list[tuple[str, str]]:
    """(name, text) of each file; folders give their *.yaml, *.yml and *.json, sorted. Raises CliError."""
    found: list[tuple[str, str]] = []
    for source in sources:
        if source == "-":
            found.append(("<stdin>", sys.stdin.read()))
            continue
        path = Path(source)
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
            if not files:
                raise CliError(f"The folder {source} holds no {', '.join(SUFFIXES)} file.", DATA)
        for file in files:
            try:
                found.append((str(file), file.read_text(encoding="utf-8-sig")))
            except UnicodeDecodeError as error:
                raise CliError(f"{file} is not UTF-8 text (byte {error.start}).", DATA) from error
            except OSError as error:
                raise CliError(f"Cannot read {file}: {error.strerror}.", USAGE) from error
    return found


def read_manifests(sources: Sequence[str], namespace: str) -> Reading:
    """Every document of the sources, validated; `namespace` is for those that name none. Raises CliError."""
    from lugsail.api.documents import parse_documents
    from lugsail.api.errors import DocumentError

    reading = Reading([], [], [])
    for name, text in read_sources(sources):
        try:
            documents = parse_documents(text, name)
        except DocumentError as error:
            reading.errors.append(str(error))
            continue
        for document in documents:
            _load(document, namespace, reading)
    if not reading.manifests and not reading.errors:
        raise CliError(f"There is no resource in {', '.join(sources)}.", DATA)
    return reading


def _load(document: Any, namespace: str, reading: Reading) -> None:
    from lugsail.api.errors import InvalidResource
    from lugsail.api.kinds import find_kind
    from lugsail.api.load import load_resource

    def place(path: str) -> str:
        return f"{document.source}:{document.line_of(path)}"

    try:
        resource = load_resource(document.data, namespace)
    except InvalidResource as invalid:
        reading.errors.extend(f"{place(error.path)}: {invalid.ref}: {error}" for error in invalid.errors)
        return
    kind = find_kind(resource.kind)
    written = resource.to_dict()
    metadata = {
        key: value for key, value in written["metadata"].items() if key in ("name", "labels", "annotations") and value
    }
    metadata["namespace"] = resource.metadata.namespace or namespace
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "spec": written.get("spec", {}),
    }
    reading.manifests.append(Manifest(kind, metadata["namespace"], metadata["name"], body, place("")))
    reading.warnings.extend(f"{place(w.path)}: {kind.kind} {metadata['name']}: {w}" for w in _warnings(resource))


def _warnings(resource: Any) -> Iterable[Any]:
    try:
        from lugsail.api.load import warnings_for
    except ImportError:
        return ()
    found: Iterable[Any] = warnings_for(resource)
    return found


def in_safe_order(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The resources with what others refer to first; otherwise as written."""
    rank = {kind: position for position, kind in enumerate(APPLY_ORDER)}
    return sorted(manifests, key=lambda manifest: rank.get(manifest.kind.kind, 0))
