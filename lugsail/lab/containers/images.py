"""Lugsail's images: which are missing, and how they are built from a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lugsail.lab.errors import LabError
from lugsail.lab.paths import source_root

if TYPE_CHECKING:
    from docker import APIClient

PREFIX = "lugsail/"
DOCKERFILE = "compose/images/Dockerfile"
TAIL_LINES = 15

Sink = Callable[[dict[str, Any]], None]


def missing(client: APIClient, names: Iterable[str]) -> list[str]:
    """Those of the images that are not here."""
    from docker.errors import ImageNotFound

    found = []
    for name in names:
        try:
            client.inspect_image(name)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            found.append(name)
    return found


def build(names: Iterable[str], sink: Sink) -> None:
    """Build Lugsail's own images of these names, telling each; others are left to compose, which pulls them.

    Raises LabError, with the end of the build's output.
    """
    own = [name for name in names if name.startswith(PREFIX)]
    if not own:
        return
    root = source_root()
    if not (root / DOCKERFILE).exists():
        raise LabError(
            f"The images {', '.join(own)} are not here, and this installation holds no sources to build them from. "
            f"Clone the repository and run `make images` there."
        )
    program = shutil.which("docker")
    if program is None:
        raise LabError("There is no `docker` command on this machine's PATH to build images with.")
    for name in own:
        started = time.monotonic()
        sink({"event": "note", "level": "info", "text": f"building the image {name} …"})
        _build(program, root, name)
        sink({"event": "note", "level": "info", "text": f"built {name} in {time.monotonic() - started:.1f} s"})


def _build(program: str, root: Path, name: str) -> None:
    target = name.removeprefix(PREFIX).partition(":")[0]
    words = [program, "build", "--file", str(root / DOCKERFILE), "--target", target, "--tag", name, str(root)]
    environment = {
        **os.environ,
        "DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "1"),
        "BUILDKIT_PROGRESS": "plain",
    }
    last: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            last.append(line.rstrip())
    if process.wait() != 0:
        tail = "".join(f"\n    {line}" for line in last)
        raise LabError(f"The image {name} could not be built (`make images` tries again); the end of its output:{tail}")
