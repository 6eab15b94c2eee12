"""Prometheus' files for one mesh: `observability/prometheus` with the control plane's address in it.

    python -m services.prometheus 127.20.0.1:8080 ~/.lugsail/prometheus    # then run what `command` gives

The binary is Debian's; nothing here starts it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PLACEHOLDER = "CONTROL_PLANE"
_HERE = Path(__file__).parents[1]
#: In a clone, and in an installed wheel.
_FOLDERS = (_HERE / "observability" / "prometheus", _HERE / "lugsail" / "shipped" / "observability" / "prometheus")
SOURCE = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])


def write_config(control_plane: str, folder: Path, source: Path = SOURCE) -> Path:
    """Leave prometheus.yml, rules and alerts in `folder`; the file's path. `control_plane`: `host:port`.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("rules", "alerts"):
        shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
    path = folder / "prometheus.yml"
    path.write_text((source / "prometheus.yml").read_text().replace(f"//{PLACEHOLDER}/", f"//{control_plane}/"))
    return path


def command(config: Path, listen: str, data: Path, retention: str = "6h", binary: str = "prometheus") -> list[str]:
    """What runs it. `listen`: `ip:port`."""
    return [
        binary,
        f"--config.file={config}",
        f"--web.listen-address={listen}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={retention}",
    ]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} CONTROL_PLANE_HOST:PORT FOLDER")
    print(write_config(sys.argv[1], Path(sys.argv[2])))
