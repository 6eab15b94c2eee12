"""`lugsail logs`: the log of an app, of its sidecar, or of the control plane."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from lugsail.cli.output import USAGE, CliError, warn

EXAMPLES = """\b
Examples:
  lugsail logs reviews-v1             what the app wrote
  lugsail logs reviews-v1 --proxy -f  its sidecar's access log, as it grows
  lugsail logs controlplane --tail 20"""

FOLLOW_POLL_S = 0.1
CHUNK_BYTES = 65536


def logs(
    workload: Annotated[str, typer.Argument(help="A workload, `controlplane`, or `lab` (the lab's own events).")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    proxy: Annotated[bool, typer.Option("--proxy", help="The sidecar's log, not the app's.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last lines, this many.")] = None,
) -> int:
    """Print a log; logs outlive the mesh until the next one writes them."""
    path = _find(workload, proxy)
    with path.open("rb") as stream:
        data = stream.read()
        if tail is not None:
            data = b"".join(data.splitlines(keepends=True)[-tail:]) if tail else b""
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        while follow:
            position = stream.tell()
            if os.fstat(stream.fileno()).st_size < position:  # rotated: emptied in place
                stream.seek(0)
            chunk = stream.read(CHUNK_BYTES)
            if chunk:
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
            else:
                time.sleep(FOLLOW_POLL_S)
    return 0


def _find(workload: str, proxy: bool) -> Path:
    from lugsail.lab.paths import Home

    home = Home.from_environment()
    name = workload.partition(".")[0]
    if name in ("controlplane", "control-plane", "istiod"):
        candidates = [home.log("controlplane")]
    elif name == "lab":
        candidates = [home.log("lab")]
    else:
        candidates = [home.proxy_log(name)] if proxy else [home.app_log(name)]
        if not proxy and not candidates[0].exists() and home.proxy_log(name).exists():
            warn(f"{name} has no app that the lab started; this is its proxy's log (as with --proxy).")
            candidates = [home.proxy_log(name)]
    if candidates[0].exists():
        return candidates[0]
    known = sorted({path.name.split(".")[0] for path in home.logs.glob("*.log")}) if home.logs.exists() else []
    if not known:
        raise CliError("There are no logs: no mesh has run from this state folder. Start one: lugsail up")
    raise CliError(f"There is no log of {workload}; there are logs of {', '.join(known)}.", USAGE)
