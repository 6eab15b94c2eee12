"""Finds the running mesh and its control plane for a command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lugsail.cli.output import USAGE, CliError
from lugsail.client import Client
from lugsail.lab import running
from lugsail.lab.running import RunningMesh

ControlPlaneOption = Annotated[
    str | None,
    typer.Option(
        "--control-plane",
        metavar="URL",
        help="The control plane's REST API. Default: $LUGSAIL_CONTROL_PLANE, else the running mesh's.",
    ),
]
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="NAME",
        help="The mesh of containers of this compose project. Default: $LUGSAIL_PROJECT, else the mesh that runs.",
    ),
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="The namespace.")]
OutputOption = Annotated[str | None, typer.Option("--output", "-o", help="Another form of output, such as json.")]

LONGEST_ANSWER_S = 10.0


def control_plane_url(option: str | None, project: str | None = None) -> str:
    """The URL from an option, the environment or the running mesh; raises CliError and LabError."""
    chosen = option or (None if project else os.environ.get("LUGSAIL_CONTROL_PLANE"))
    if chosen:
        url = chosen if "://" in chosen else f"http://{chosen}"
        if not url.startswith("http://"):
            raise CliError(f"--control-plane {chosen}: expected http://HOST:PORT.", USAGE)
        return url
    return running_mesh(project).control_plane_url


def connect(option: str | None, project: str | None = None, timeout_s: float = LONGEST_ANSWER_S) -> Client:
    """The control plane's client; an answer may take `timeout_s`, but always the second that a busy machine takes."""
    return Client(control_plane_url(option, project), min(max(timeout_s, 1.0), LONGEST_ANSWER_S))


def running_mesh(project: str | None) -> RunningMesh:
    """The mesh that the command is about; raises LabError when there is none, or it is not clear which."""
    return running.find(project)
