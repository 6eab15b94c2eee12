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

LONGEST_ANSWER_S = 10.0


def not_running() -> str:
    """That there is no mesh; with the folder where the environment names one, for a mesh may run from another."""
    chosen = os.environ.get("LUGSAIL_HOME")
    where = f" from LUGSAIL_HOME={chosen}" if chosen else ""
    return f"No mesh is running{where}. Start one: lugsail up"


def control_plane_url(option: str | None) -> str:
    """The URL from the option, the environment or the running lab; raises CliError."""
    chosen = option or os.environ.get("LUGSAIL_CONTROL_PLANE")
    if chosen:
        url = chosen if "://" in chosen else f"http://{chosen}"
        if not url.startswith("http://"):
            raise CliError(f"--control-plane {chosen}: expected http://HOST:PORT.", USAGE)
        return url
    return running_lab().control_plane_url


def connect(option: str | None, timeout_s: float = LONGEST_ANSWER_S) -> Client:
    """The control plane's client; an answer may take `timeout_s`, but always the second that a busy machine takes."""
    return Client(control_plane_url(option), min(max(timeout_s, 1.0), LONGEST_ANSWER_S))


def running_lab() -> LabState:
    """The lab of this state folder; raises CliError when there is none."""
    state = read_state(Home.from_environment())
    if state is None:
        raise CliError(not_running())
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
