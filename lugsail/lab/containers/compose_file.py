"""The compose file that `lugsail up --runtime docker` starts: the one checked in where it fits, or a new one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugsail.lab.containers.discovery import CONTROL_PLANE, GATEWAY, PROXY, ROLE_LABEL
from lugsail.lab.errors import LabError
from lugsail.lab.mesh_config import check_mesh_config
from lugsail.lab.observers import DEFAULT_OBSERVERS
from lugsail.lab.paths import shipped

DEFAULT_TOPOLOGY = "compose/app.yaml"
DEFAULT_MESH = "compose/bookinfo.yaml"
DEFAULT_PROJECT = "bookinfo"  # as .env has it for plain `docker compose up`
OTHER_PROJECT = "lugsail"
DATA = 65
MESH_CONFIG_INSIDE = "/etc/lugsail/mesh-config.yaml"

Document = dict[str, Any]
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Options:
    """What `lugsail up --runtime docker` was asked for. `project` is None for the file's own name.

    `mesh_config` is None for the image's own; `observers` names what watches the mesh.
    """

    topology: Path | None = None
    project: str | None = None
    proxy: str = "python"
    proxy_for: Mapping[str, str] | None = None
    gateway_port: int = 8080
    keep: bool = False
    build: bool = False
    log_level: str = "info"
    timeout_s: float = 120.0
    profiles: tuple[str, ...] = ()
    mesh_config: Path | None = None
    observers: tuple[str, ...] = DEFAULT_OBSERVERS


@dataclass(frozen=True)
class ComposeFile:
    """A meshed document. `path` is where it lies; None: it is given on compose's standard input."""

    document: Document
    project: str
    folder: Path
    path: Path | None
    profiles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def services(self) -> dict[str, Document]:
        """Those that start: without a profile, or with one that was asked for."""
        found: dict[str, Document] = self.document["services"]
        wanted = set(self.profiles)
        return {
            name: service
            for name, service in found.items()
            if not service.get("profiles") or wanted & set(service["profiles"])
        }

    def published(self) -> dict[str, int]:
        """Variable → default, of the ports that it publishes: `127.0.0.1:${LUGSAIL_API_PORT:-8081}:8080`."""
        ports = (str(port) for service in self.services().values() for port in service.get("ports") or ())
        found = (match for port in ports for match in _VARIABLE.finditer(port))
        return {match[1]: int(match[2]) for match in found if match[2] and match[2].isdigit()}

    def images(self, environment: Mapping[str, str]) -> list[str]:
        """The images that those need, each once."""
        named = (str(service["image"]) for service in self.services().values() if service.get("image"))
        return list(dict.fromkeys(interpolated(name, environment) for name in named))

    def text(self) -> str:
        import yaml

        return str(yaml.safe_dump(self.document, sort_keys=False))


def compose_file(options: Options) -> ComposeFile:
    """The file of these options; raises LabError where the topology cannot be read or injected."""
    topology = options.topology or shipped(DEFAULT_TOPOLOGY)
    ready_made = shipped(DEFAULT_MESH)
    # The checked-in file asks the environment which proxy all pods have; more than that is for a file of its own.
    fits = options.topology is None and not options.proxy_for and options.log_level == "info"
    fits = fits and options.mesh_config is None and not _unwanted(options)
    profiles = (*options.profiles, *(name for name in options.observers if name not in DEFAULT_OBSERVERS))
    if fits and ready_made.exists():
        document = _read(ready_made)
        check_profiles(document, profiles)
        return ComposeFile(document, _project(options, document), ready_made.parent, ready_made, profiles)
    document, notes = injected(_read(topology), topology, options.proxy_for or {})
    check_profiles(document, profiles)
    if options.log_level != "info":
        set_log_level(document, options.log_level)
    for name in _unwanted(options):
        document["services"].pop(name, None)
    if options.mesh_config is not None:
        notes = (*notes, *check_mesh_config(options.mesh_config))
        set_mesh_config(document, options.mesh_config)
    return ComposeFile(document, _project(options, document), topology.absolute().parent, None, profiles, notes)


def _unwanted(options: Options) -> list[str]:
    return [name for name in DEFAULT_OBSERVERS if name not in options.observers]


def set_mesh_config(document: Document, path: Path) -> None:
    """The control plane reads the file where it lies on this machine, instead of its image's."""
    for service in document["services"].values():
        command = service.get("command")
        if role_of(service) != CONTROL_PLANE or not isinstance(command, list):
            continue
        place = command.index("--mesh-config") + 1 if "--mesh-config" in command else None
        kept = command if place is None else [*command[: place - 1], *command[place + 1 :]]
        service["command"] = [*kept, "--mesh-config", MESH_CONFIG_INSIDE]
        service["volumes"] = [*(service.get("volumes") or ()), f"{path.absolute()}:{MESH_CONFIG_INSIDE}:ro"]


def injected(document: Any, source: Path, proxy_for: Mapping[str, str]) -> tuple[Document, tuple[str, ...]]:
    """(the document with the mesh around it, what the injector has to say); raises LabError."""
    from controlplane.injector.compose import BadCompose, Choices, inject
    from controlplane.injector.settings import BadAnnotation

    try:
        result = inject(document, str(source), Choices(proxy_for=proxy_for))
    except (BadCompose, BadAnnotation) as problem:
        raise LabError(str(problem), 64 if "--proxy-for" in str(problem) else DATA) from problem
    if not any(role_of(service) == CONTROL_PLANE for service in result.document["services"].values()):
        raise LabError(f"{source}: no service of it takes a sidecar, so there is no mesh to start.", DATA)
    return result.document, result.warnings


def check_profiles(document: Document, wanted: Sequence[str]) -> None:
    """Raises LabError for a profile that no service has."""
    known = sorted({name for service in document["services"].values() for name in service.get("profiles") or ()})
    for name in wanted:
        if name not in known:
            raise LabError(f"--profile {name}: there is no such profile; there are {', '.join(known) or 'none'}.", 64)


def set_log_level(document: Document, level: str) -> None:
    """Of control plane, gateways and sidecars; one that a workload's own annotation chose stays."""
    for service in document["services"].values():
        command = service.get("command")
        if (
            role_of(service) in (CONTROL_PLANE, GATEWAY, PROXY)
            and isinstance(command, list)
            and "--log-level" not in command
        ):
            service["command"] = [*command, "--log-level", level]


def role_of(service: Document) -> str:
    labels = service.get("labels")
    return str(labels.get(ROLE_LABEL, "")) if isinstance(labels, dict) else ""


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Compose's `${NAME:-default}`."""
    return _VARIABLE.sub(lambda match: environment.get(match[1]) or match[2] or "", text)


def _read(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise LabError(f"There is no topology {path}. Give a compose file: lugsail up --topology FILE", 64) from problem
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise LabError(f"Cannot read the topology {path}: {problem}", DATA) from problem


def _project(options: Options, document: Document) -> str:
    default = OTHER_PROJECT if options.topology else DEFAULT_PROJECT
    name = options.project or str(document.get("name") or default)
    if not _PROJECT.fullmatch(name):
        raise LabError(f"--project {name}: expected lower-case letters, digits, - and _, as in bookinfo.", 64)
    return name
