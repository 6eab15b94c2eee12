"""Makes the injector that the command line asks for. Imported only where it does: the Docker SDK is not small."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from controlplane.injector.automatic import Address, AutomaticInjector
from controlplane.injector.container import Rules
from controlplane.injector.engine import connect
from controlplane.options import Options

_IDENTITY = re.compile(r"[0-9a-f]{12}")
_FILE = "injector-id"


def make_injector(options: Options) -> AutomaticInjector:
    """The injector of this control plane. Raises OSError where its identity cannot be kept beside the store."""
    rules = Rules(own_identity(options.store.parent), options.docker_project)
    address = Address(options.address, options.xds_port, options.inject_discovery)
    return AutomaticInjector(rules, address, lambda: connect(options.docker_host), everything=options.docker_all)


def own_identity(folder: Path) -> str:
    """The name by which sidecars are known as this control plane's; it is kept in `folder`, for its next start."""
    path = folder / _FILE
    try:
        found = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        found = ""
    if _IDENTITY.fullmatch(found):
        return found
    made = secrets.token_hex(6)
    draft = path.with_suffix(".tmp")
    draft.write_text(f"{made}\n", encoding="ascii")
    draft.replace(path)
    return made
