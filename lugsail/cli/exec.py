"""`lugsail exec`: runs a command as a workload would run it, its traffic through that workload's sidecar."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

import typer

from lugsail.cli.connect import find_pod, running_lab
from lugsail.cli.output import USAGE, CliError

EXAMPLES = """\b
Examples:
  lugsail exec productpage-v1 -- curl -s http://reviews:9080/reviews/0
  lugsail exec curl -- sh -c 'curl -si http://httpbin:8000/status/418'"""

NOT_FOUND = 127  # as a shell says it


def exec_(
    workload: Annotated[str, typer.Argument(help="The workload to run as.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
) -> int:
    """Run a command with a workload's environment; its exit code is passed on.

    Programs reach the mesh by the http_proxy variable, as curl, wget and most HTTP libraries do by themselves.
    """
    pod = find_pod(running_lab(), workload)
    if pod["kind"] != "sidecar":
        raise CliError(
            f"{workload} is a gateway: it sends no traffic of its own. Choose a workload with a sidecar.", USAGE
        )
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise CliError("Say what to run: lugsail exec WORKLOAD -- COMMAND…", USAGE)
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    its_own = pod["environment"]
    assert isinstance(its_own, dict)
    environment |= its_own
    return execute(words, environment)


def execute(words: list[str], environment: dict[str, str]) -> int:
    """Become the command; returns only when that cannot be."""
    path = shutil.which(words[0], path=environment.get("PATH"))
    if path is None:
        raise CliError(not_found(words[0]), NOT_FOUND)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, words, environment)
    except OSError as problem:
        raise CliError(f"Cannot run {path}: {problem.strerror}.", 126) from problem


def not_found(program: str) -> str:
    hint = ""
    if program == "curl":
        hint = (
            " Install it, or use Python: python3 -c 'import urllib.request as u; print(u.urlopen(URL).read().decode())'"
        )
    return f"There is no {program} on this machine's PATH.{hint}"
