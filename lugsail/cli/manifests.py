"""Reads what -f names (files, folders, standard input) into validated resources, in an order that is safe to apply."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lugsail.cli.output import DATA, USAGE, CliError
from lugsail.lab.paths import shipped

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
    def key(self) -> tuple[str, str, str]:
        return self.kind.kind, self.namespace, self.name

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
    """(name, text) of each file; folders give their *.yaml, *.yml and *.json, sub-folders too, sorted. Raises CliError.

    What is hidden (`.git`, `.venv`) is left alone inside a folder.
    """
    found: list[tuple[str, str]] = []
    for source in sources:
        if source == "-":
            found.append(("<stdin>", _standard_input()))
            continue
        path = Path(source)
        files = [path]
        if path.is_dir():
            files = sorted(_files_below(path))
            if not files:
                raise CliError(
                    f"The folder {source} holds no {', '.join(SUFFIXES)} file, nor do its sub-folders. "
                    f"Name the file itself if it ends otherwise.",
                    DATA,
                )
        found.extend((str(file), _text(file)) for file in files)
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix in SUFFIXES and not hidden and file.is_file():
            yield file


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(f"{file} is not UTF-8 text (byte {error.start}): expected YAML or JSON.", DATA) from error
    except FileNotFoundError as error:
        raise CliError(f"There is no file {file} (looked in {Path.cwd()}).{_hint(file)}", USAGE) from error
    except OSError as error:
        raise CliError(f"Cannot read {file}: {error.strerror}.", USAGE) from error


def _hint(file: Path) -> str:
    """Documentation says `samples/…`, which is a path inside the clone or the installed package."""
    ours = shipped(str(file))
    return f" Lugsail's own is {ours}" if file.parts[:1] == ("samples",) and ours.exists() else ""


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise CliError(
            f"Standard input is not UTF-8 text (byte {error.start}): expected YAML or JSON.", DATA
        ) from error


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
        raise CliError(
            f"There is no resource in {', '.join(sources)}: expected documents with apiVersion, kind, metadata, spec.",
            DATA,
        )
    reading.warnings.extend(_repeated(reading.manifests))
    return reading


def _repeated(manifests: Sequence[Manifest]) -> Iterator[str]:
    """One line for resources that are there more than once: only the last takes effect."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for manifest in manifests:
        places.setdefault(manifest.key, []).append(manifest.place)
    for (kind, namespace, name), where in places.items():
        if len(where) > 1:
            yield f"{kind} {namespace}/{name} is there {len(where)} times; the last counts: {where[-1]}"


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
    from lugsail.api.load import warnings_for

    found: Iterable[Any] = warnings_for(resource)
    return found


def in_safe_order(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The resources with what others refer to first; otherwise as written."""
    rank = {kind: position for position, kind in enumerate(APPLY_ORDER)}
    return sorted(manifests, key=lambda manifest: rank.get(manifest.kind.kind, 0))
