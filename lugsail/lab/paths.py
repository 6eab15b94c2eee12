"""Where the lab keeps its state, and where it finds the files it ships with."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_UNIX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


@dataclass(frozen=True, slots=True)
class Home:
    """The state folder: `$LUGSAIL_HOME`, or `~/.lugsail`."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Home:
        environ = os.environ if environ is None else environ
        chosen = environ.get("LUGSAIL_HOME")
        return cls(Path(chosen).expanduser().absolute() if chosen else Path.home() / ".lugsail")

    @property
    def state_file(self) -> Path:
        return self.root / "lab.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def registry_file(self) -> Path:
        return self.root / "registry.yaml"

    @property
    def store_file(self) -> Path:
        return self.root / "store.db"

    @property
    def previous_store_file(self) -> Path:
        return self.root / "store.previous.db"

    @property
    def mesh_config_file(self) -> Path:
        return self.root / "mesh-config.yaml"

    @property
    def traces_file(self) -> Path:
        return self.root / "traces.db"

    @property
    def prometheus_dir(self) -> Path:
        return self.root / "prometheus"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def app_log(self, workload: str) -> Path:
        return self.logs / f"{workload}.app.log"

    def proxy_log(self, workload: str) -> Path:
        return self.logs / f"{workload}.proxy.log"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def proxy_dir(self, workload: str) -> Path:
        return self.root / "proxies" / workload

    @property
    def control_socket(self) -> Path:
        """The supervisor's socket; in the temporary folder where the state folder's path is too long for one."""
        inside = self.root / "control.sock"
        if len(os.fsencode(inside)) <= MAX_UNIX_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lugsail-{os.getuid()}-{digest}.sock"

    def create(self) -> None:
        """Make the folders; raises OSError."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs.mkdir(exist_ok=True)
        (self.root / "proxies").mkdir(exist_ok=True)


def source_root() -> Path:
    """The folder that holds the packages: what a child's PYTHONPATH needs."""
    return Path(__file__).resolve().parents[2]


def shipped(relative: str) -> Path:
    """A file that Lugsail ships (`compose/app.yaml`, `samples/…`): from inside an installed wheel, or from the clone.

    The wheel's folder decides, for in site-packages a `compose` or `samples` beside the packages is somebody else's.
    """
    packaged = Path(__file__).resolve().parents[1] / "shipped"
    return (packaged if packaged.is_dir() else source_root()) / relative
