"""Runs Docker Compose: the plugin (`docker compose`, v2) where it is there, else `docker-compose` 1.29."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lugsail.lab.containers.compose_file import ComposeFile
from lugsail.lab.errors import LabError

TAIL_LINES = 12
PROBE_TIMEOUT_S = 20


def find_compose() -> list[str]:
    """The command's first words; raises LabError with the remedy."""
    docker = shutil.which("docker")
    if docker is not None and _works([docker, "compose", "version"]):
        return [docker, "compose"]
    old = shutil.which("docker-compose")
    if old is not None and _works([old, "version"]):
        return [old]
    if docker is None:
        raise LabError(
            "There is no `docker` command on this machine's PATH. Install Docker Engine with its Compose plugin "
            "(docs.docker.com/engine/install), or run the mesh as processes: lugsail up"
        )
    raise LabError(
        "Docker's Compose plugin is missing. Install it (Debian: `sudo apt-get install docker-compose`; Docker's own "
        "packages: `docker-compose-plugin`), or run the mesh as processes: lugsail up"
    )


def _works(words: list[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass
class ComposeRun:
    """A compose command that runs; `lines` is what it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def code(self) -> int | None:
        return self.process.poll()

    def tail(self) -> str:
        """The last lines, without the progress of each container."""
        told = [line for line in self.lines if line.strip()]
        return "".join(f"\n    {line}" for line in told[-TAIL_LINES:])


def start(
    command: Sequence[str], file: ComposeFile, words: Sequence[str], environment: Mapping[str, str]
) -> ComposeRun:
    """Begin `docker compose WORDS` for the file. It gets no terminal and is in a session of its own, so that Ctrl-C
    is ours to handle."""
    where = ["-f", str(file.path)] if file.path else ["-f", "-", "--project-directory", str(file.folder)]
    profiles = [word for name in file.profiles for word in ("--profile", name)]
    process = subprocess.Popen(
        [*command, "-p", file.project, *where, *profiles, *words],
        stdin=subprocess.DEVNULL if file.path else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        start_new_session=True,
    )
    run = ComposeRun(process)
    if process.stdin is not None:
        with process.stdin:
            process.stdin.write(file.text())

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                run.lines.append(line.rstrip())

    threading.Thread(target=read, daemon=True).start()
    return run
