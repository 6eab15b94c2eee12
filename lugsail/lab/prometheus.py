"""Prometheus itself in the process lab: the machine's own program, with the configuration that containers have too.

That one finds its targets at the control plane by the name `control-plane`; here it has an address instead.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lugsail.lab import spawn
from lugsail.lab.addressing import Subnet
from lugsail.lab.errors import LabError
from lugsail.lab.paths import Home, shipped
from lugsail.lab.spawn import Spawn
from lugsail.lab.state import write_atomically

CONFIG = "observability/prometheus/prometheus.yml"


def find_program() -> str:
    """Where the machine has Prometheus; raises LabError."""
    program = shutil.which("prometheus")
    if program is None:
        raise LabError(
            "--with prometheus: there is no `prometheus` on this machine's PATH. "
            "Install it (Debian, Ubuntu: apt-get install prometheus), or do without."
        )
    return program


def prepare(home: Home, subnet: Subnet, ip: str, port: int) -> Spawn:
    """Its configuration in the state folder, and how it is started. Raises LabError and OSError."""
    import yaml

    source = shipped(CONFIG)
    home.prometheus_dir.mkdir(exist_ok=True)
    config = home.prometheus_dir / "prometheus.yml"
    found = at_home(yaml.safe_load(source.read_text(encoding="utf-8")), source.parent, subnet.control_plane_url)
    write_atomically(config, yaml.safe_dump(found, sort_keys=False))
    return spawn.prometheus(find_program(), config, home, ip, port)


def at_home(config: Any, folder: Path, control_plane: str) -> Any:
    """The configuration with the control plane at that URL, and rules where they lie: in `folder`."""
    found = {**config, "rule_files": [str(folder / name) for name in config.get("rule_files") or ()]}
    found["scrape_configs"] = [_scrape(each, control_plane) for each in config.get("scrape_configs") or ()]
    return found


def _scrape(job: dict[str, Any], control_plane: str) -> dict[str, Any]:
    if "http_sd_configs" not in job:
        return job
    moved = [{**each, "url": control_plane + urlsplit(each["url"]).path} for each in job["http_sd_configs"]]
    return {**job, "http_sd_configs": moved}
