"""`lugsail down`: stops the mesh, or cleans up after one that was killed."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from lugsail.cli.connect import ProjectOption
from lugsail.cli.output import FAILURE, USAGE, CliError, counted, warn
from lugsail.lab.process_mesh import ProcessMesh

EXAMPLES = """\b
Examples:
  lugsail down
  lugsail down --project bookinfo --volumes    a mesh of containers, with the resources that it stored"""
GIVE_UP_S = 30.0


def down(
    volumes: Annotated[
        bool, typer.Option("--volumes", "-v", help="Of a mesh of containers: delete its volumes too.")
    ] = False,
    project: ProjectOption = None,
) -> int:
    """Stop the mesh: that of this state folder with all its processes, else that of containers."""
    from lugsail.lab.paths import Home
    from lugsail.lab.running import PROJECT_VARIABLE

    project = project or os.environ.get(PROJECT_VARIABLE) or None
    mesh = None if project else ProcessMesh.of(Home.from_environment())
    if mesh is not None:
        if volumes:
            raise CliError("--volumes: a mesh of processes has none; its store stays in the state folder.", USAGE)
        return _stop_processes(mesh)
    return _stop_containers(project, volumes)


def _stop_containers(project: str | None, volumes: bool) -> int:
    from lugsail.lab.containers import engine

    if not engine.is_present() and project is None:
        print("No mesh is running.")
        return 0
    from lugsail.lab.containers import down as containers

    found = containers.choose(project)
    if found is None:
        print("No mesh is running.")
        return 0
    client, name = found
    removed = containers.remove_project(client, name, volumes)
    for text in removed.failures:
        warn(text)
    print(f"Stopped {name}: {counted(removed.containers, 'container')} removed{_kept(removed.kept_volumes)}.")
    return FAILURE if removed.failures else 0


def _kept(volumes: list[str]) -> str:
    return f"; the resources are kept in the volume {', '.join(volumes)} (--volumes deletes it)" if volumes else ""


def _stop_processes(mesh: ProcessMesh) -> int:
    from lugsail.lab import processes, state
    from lugsail.lab.control import ControlConnection

    home, found = mesh.home, mesh.state
    if not found.is_running:
        count = state.clean_up(home, found)
        print(f"The mesh had been killed; {count} processes that it left were stopped.")
        return 0
    try:
        connection = ControlConnection(home.control_socket)
        connection.send({"op": "stop"})
        for event in connection.answers():
            if event.get("event") == "note":
                warn(event["text"])
        connection.close()
    except OSError:
        if found.supervisor is not None:  # it has no socket yet, or lost it
            processes.stop_all([found.supervisor], 15.0)
    deadline = time.monotonic() + GIVE_UP_S
    while found.is_running and time.monotonic() < deadline:
        time.sleep(0.02)
    if found.is_running and found.supervisor is not None:
        warn(f"The mesh (pid {found.supervisor.pid}) does not stop; killing it.")
        processes.stop_all([found.supervisor], 0.0)
    left = state.leftovers(found)
    if left:
        state.clean_up(home, found, grace_s=1.0)
        still = state.leftovers(found)
        if still:
            warn(f"These processes would not end: {', '.join(str(ref.pid) for ref in still)}.")
            return FAILURE
    print("Stopped; nothing is left running.")
    return 0
