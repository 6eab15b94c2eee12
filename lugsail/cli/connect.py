"""Finds the control plane and the running lab for a command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lugsail.cli.output import USAGE, CliError
from lugsail.client import Client
from lugsail.lab.paths import Home
from lugsail.lab.state import LabState, read_state

ControlPlaneOption = Annotated[
    str | None,
    typer.Option(
        "--control-plane",
        metavar="URL",
        help="The control plane's REST API. Default: $LUGSAIL_CONTROL_PLANE, else the running lab's.",
    ),
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="The namespace.")]
OutputOption = Annotated[str | None, typer.Option("--output", "-o", help="Another form of output, such as json.")]

NOT_RUNNING = "No mesh is running. Start one: lugsail up"


def control_plane_url(option: str | None) -> str:
    """The URL from the option, the environment or the running lab; raises CliError."""
    chosen = option or os.environ.get("LUGSAIL_CONTROL_PLANE")
    if chosen:
        url = chosen if "://" in chosen else f"http://{chosen}"
        if not url.startswith("http://"):
            raise CliError(f"--control-plane {chosen}: expected http://HOST:PORT.", USAGE)
        return url
    return running_lab().control_plane_url


def connect(option: str | None) -> Client:
    return Client(control_plane_url(option))


def running_lab() -> LabState:
    """The lab of this state folder; raises CliError when there is none."""
    state = read_state(Home.from_environment())
    if state is None:
        raise CliError(NOT_RUNNING)
    if not state.is_running:
        raise CliError("The mesh was killed. Clean up what it left with `lugsail down`, or start anew: lugsail up")
    return state


def find_pod(state: LabState, workload: str) -> dict[str, object]:
    """The pod of that name; raises CliError that names the known ones."""
    pod = state.pod(workload)
    if pod is None:
        known = ", ".join(str(each["workload"]) for each in state.pods)
        raise CliError(f"There is no workload {workload}; known are {known}.", USAGE)
    return pod
