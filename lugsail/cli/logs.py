"""`lugsail logs`: the log of an app, its sidecar, a gateway, the control plane, or what watches the mesh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from lugsail.cli.connect import ProjectOption, running_mesh
from lugsail.cli.output import USAGE, CliError, warn

EXAMPLES = """\b
Examples:
  lugsail logs reviews-v1             what the app wrote
  lugsail logs reviews-v1 --proxy -f  its sidecar's access log, as it grows
  lugsail logs gateway --tail 5       the ingress gateway's access log
  lugsail logs controlplane --tail 20"""

ALIASES = {
    "control-plane": "controlplane",
    "istiod": "controlplane",
    "gateway": "istio-ingressgateway",
    "ingressgateway": "istio-ingressgateway",
}


def logs(
    workload: Annotated[
        str,
        typer.Argument(
            help="A workload, `gateway`, `controlplane`, `tracing`, `metrics`, `prometheus`, or `lab` (events)."
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    proxy: Annotated[bool, typer.Option("--proxy", help="The sidecar's log, not the app's.")] = False,
    init: Annotated[
        bool, typer.Option("--init", help="What set up the interception (in a mesh of containers), not the app.")
    ] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last lines, this many.")] = None,
    project: ProjectOption = None,
) -> int:
    """Print a log. Of a mesh of processes, logs outlive the mesh until the next one writes them."""
    if proxy and init:
        raise CliError("--proxy and --init are two logs: choose one.", USAGE)
    name, dot, namespace = workload.partition(".")
    part = "proxy" if proxy else "init" if init else "app"
    for piece in _open(ALIASES.get(name, name) + dot + namespace, part, tail, follow, project):
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    return 0


def _open(name: str, part: str, tail: int | None, follow: bool, project: str | None) -> Iterator[bytes]:
    from lugsail.lab import process_mesh
    from lugsail.lab.errors import NotRunning
    from lugsail.lab.paths import Home

    home = Home.from_environment()
    try:
        mesh = running_mesh(project)
    except NotRunning:
        if project is not None:
            raise
    else:
        if not isinstance(mesh, process_mesh.ProcessMesh):
            return mesh.log(name, part, tail, follow)
    path = process_mesh.find_log(home, name, part)
    if part == "app" and path == home.proxy_log(name.partition(".")[0]):
        warn(f"{name} has no app that the lab started; this is its proxy's log (as with --proxy).")
    return process_mesh.read_log(path, tail, follow)
