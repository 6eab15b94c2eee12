"""`lugsail exec`: runs a command as a workload would run it, its traffic through that workload's sidecar."""

from __future__ import annotations

from typing import Annotated

import typer

from lugsail.cli.connect import ProjectOption, running_mesh
from lugsail.cli.output import USAGE, CliError

EXAMPLES = """\b
Examples:
  lugsail exec productpage-v1 -- curl -s http://reviews:9080/reviews/0
  lugsail exec curl -- sh -c 'curl -si http://httpbin:8000/status/418'"""


def exec_(
    workload: Annotated[str, typer.Argument(help="The workload to run as.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    project: ProjectOption = None,
) -> int:
    """Run a command as a workload; its exit code is passed on.

    In a mesh of processes it runs here, with the workload's environment: programs reach the mesh by the http_proxy
    variable, as curl, wget and most HTTP libraries do by themselves. In a mesh of containers it runs in the app's
    container, whose traffic is captured.
    """
    mesh = running_mesh(project)
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise CliError("Say what to run: lugsail exec WORKLOAD -- COMMAND…", USAGE)
    return mesh.execute(workload, words)
