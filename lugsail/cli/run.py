"""`lugsail run`: a program of the user's joins the mesh for as long as it runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from lugsail.cli.connect import NamespaceOption, ProjectOption, running_mesh
from lugsail.cli.output import FAILURE, USAGE, CliError, warn
from lugsail.lab.process_mesh import NOT_FOUND, ProcessMesh, not_found

EXAMPLES = """\b
Examples:
  lugsail run --app ratings --version v9 --port 9080 -- ./my-ratings
  lugsail run --app hello --version v1 --port 8000 -- sh -c 'python3 -m http.server -b 127.0.0.1 $PORT'
  lugsail run --app hello --version v2 --port 8000 --app-port 8123 -- ./server-that-listens-on-8123
  lugsail run --app hello --version v3 --port 8000 --image python:3.13 -- sh -c 'python3 -m http.server $PORT'"""


NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # a DNS label


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The program and its arguments.")],
    app: Annotated[str, typer.Option("--app", help="The application, and so the service, that it belongs to.")],
    version: Annotated[str, typer.Option("--version", help="Its version: what subsets select by.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port that others call the service on.")],
    name: Annotated[str | None, typer.Option("--name", help="The workload's name. Default: APP-VERSION.")] = None,
    proxy: Annotated[str, typer.Option("--proxy", help="Its sidecar: python or envoy.")] = "python",
    app_port: Annotated[
        int | None,
        typer.Option("--app-port", min=1, max=65535, help="The port it listens on, if it does not read $PORT."),
    ] = None,
    namespace: NamespaceOption = "default",
    image: Annotated[
        str | None, typer.Option("--image", help="In a mesh of containers: its image. Default: lugsail/apps.")
    ] = None,
    project: ProjectOption = None,
) -> int:
    """Run a program as a workload: with a sidecar, an address and an entry in the registry.

    It finds where to listen in BIND_ADDRESS and PORT. In a mesh of processes it runs here, and its own requests go
    through its sidecar by http_proxy. In a mesh of containers it runs in one, with the current folder at /work, to
    read only, and its traffic is captured. Others reach it once its port answers; it leaves the mesh when it ends.
    """
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise CliError("Say what to run: lugsail run --app NAME --version V --port N -- COMMAND…", USAGE)
    if proxy not in ("python", "envoy"):
        raise CliError(f"--proxy: {proxy!r} is not a proxy that the lab knows; choose python or envoy.", USAGE)
    workload = name or f"{app}-{version}"
    for option, text in (("--app", app), ("--version", version), ("--name", workload)):
        if not NAME.fullmatch(text):
            raise CliError(f"{option} {text}: expected lower-case letters, digits and -, as in reviews-v2.", USAGE)
    mesh = running_mesh(project)
    if not isinstance(mesh, ProcessMesh):
        from lugsail.lab.containers import join
        from lugsail.lab.containers.mesh import ContainerMesh

        assert isinstance(mesh, ContainerMesh)
        chosen = image or join.DEFAULT_IMAGE
        program = join.Program(workload, namespace, app, version, port, app_port, proxy, chosen, tuple(words))
        return join.run(mesh, program)
    if image is not None:
        raise CliError("--image: this mesh is of processes, which have none.", USAGE)
    if shutil.which(words[0]) is None:
        raise CliError(not_found(words[0]), NOT_FOUND)
    spec = {"name": workload, "namespace": namespace, "app": app, "version": version, "port": port}
    spec["app_port"] = app_port
    connection, answers, first = _join(spec, proxy)
    try:
        return _run(words, workload, port, first, answers)
    finally:
        connection.close()


def _join(spec: dict[str, Any], proxy: str) -> tuple[Any, Iterator[dict[str, Any]], dict[str, Any]]:
    """Ask the lab for a pod; its connection, further answers, and the first with the pod in it."""
    from lugsail.lab.control import ControlConnection
    from lugsail.lab.paths import Home

    try:
        connection = ControlConnection(Home.from_environment().control_socket)
        connection.send({"op": "join", "workload": spec, "proxy": proxy})
    except OSError as problem:
        raise CliError(f"The mesh does not answer: {problem.strerror}. `lugsail status` tells its state.") from problem
    answers = connection.answers()
    first = next(answers, None)
    if first is None:
        connection.close()
        raise CliError("The mesh ended meanwhile.", FAILURE)
    if "error" in first:
        connection.close()
        raise CliError(first["error"], first.get("exit_code", FAILURE))
    return connection, answers, first


def _run(words: list[str], workload: str, port: int, first: dict[str, Any], answers: Iterator[dict[str, Any]]) -> int:
    """The program in the foreground, on this terminal; its exit code (128 + the signal that ended it)."""
    pod = first["pod"]
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= first["environment"]
    child = subprocess.Popen(words, env=environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the program itself; we stay to clean up
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: child.send_signal(received))

    joined = threading.Event()

    def follow() -> None:
        for answer in answers:
            if answer.get("joined"):
                joined.set()
                place = f"http://{pod['service']}:{port} (it listens on 127.0.0.1:{pod['app_port']})"
                print(f"{workload} is in the mesh: {place}", file=sys.stderr, flush=True)
        if child.poll() is None:
            warn("The mesh has stopped; stopping the program.")
            child.terminate()

    threading.Thread(target=follow, daemon=True).start()
    code = child.wait()
    if not joined.is_set():
        warn(
            f"{workload} ended before 127.0.0.1:{pod['app_port']} answered, so it got no traffic; it listens on $PORT?"
        )
    return 128 - code if code < 0 else code
