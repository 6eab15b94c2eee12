"""Which container is this process in? Asked of the kernel's files, since a hostname may be anything."""

from __future__ import annotations

import re
import socket
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{64}")
_SHORT_ID = re.compile(r"[0-9a-f]{12}")
# The Engine mounts these from its folder of the container: /var/lib/docker/containers/<id>/hostname.
_MOUNT = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) ")


def container_ids(mountinfo: str, cgroup: str, hostname: str) -> tuple[str, ...]:
    """Ids that may be this process's container, likeliest first. Pure."""
    found: list[str] = []
    # Cgroups name the container itself; the files of a shared network are mounted from the one that owns it.
    for line in cgroup.splitlines():
        if "docker" in line:
            found += _ID.findall(line)
    found += _MOUNT.findall(mountinfo)
    if _SHORT_ID.fullmatch(hostname):
        found.append(hostname)
    return tuple(dict.fromkeys(found))


def own_container_ids() -> tuple[str, ...]:
    """Of this process."""
    return container_ids(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup"), socket.gethostname())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
