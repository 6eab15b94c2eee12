"""The mesh config that a lab's control plane reads: the file that was named, or a copy of the shipped one to change."""

from __future__ import annotations

import shutil
from pathlib import Path

from lugsail.api.errors import DocumentError, InvalidResource
from lugsail.api.mesh_config import load_mesh_config
from lugsail.lab.errors import LabError
from lugsail.lab.paths import Home, shipped

SHIPPED = "samples/telemetry/mesh-config.yaml"
DATA, USAGE = 65, 64


def check_mesh_config(path: Path) -> list[str]:
    """What the file says without effect, a line each; raises LabError where it cannot be used."""
    try:
        loaded = load_mesh_config(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise LabError(f"There is no mesh config {path}. Give Istio's MeshConfig, such as {SHIPPED}.", USAGE) from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"Cannot read the mesh config {path}: {error}", DATA) from error
    except (DocumentError, InvalidResource) as error:
        raise LabError(str(error), DATA) from error
    return [f"{path}: {warning}" for warning in loaded.warnings]


def own_mesh_config(home: Home, keep: bool) -> Path:
    """A copy of the shipped one in the state folder, changed or not; a new mesh begins anew. Raises OSError."""
    path = home.mesh_config_file
    if not (keep and path.exists()):
        shutil.copyfile(shipped(SHIPPED), path)
    return path
