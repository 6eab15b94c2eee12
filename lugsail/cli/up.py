"""`lugsail up`: starts the mesh and shows it coming up."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lugsail.cli import distribution
from lugsail.cli.output import FAILURE, USAGE, CliError, has_colour

if TYPE_CHECKING:
    from lugsail.lab.containers.compose_file import Options
    from lugsail.lab.plan import Options as ProcessOptions

EXAMPLES = """\b
Examples:
  lugsail up                                  the mesh with Bookinfo; Ctrl-C stops all of it
  lugsail up --detach --port 9000             in the background, the page on port 9000
  lugsail up --proxy-for reviews-v2=envoy     the stock Envoy beside reviews-v2
  lugsail up --keep                           with the resources of the last mesh
  lugsail up --with prometheus                Prometheus too, with rules and alerts
  lugsail up --mesh-config FILE               Istio's MeshConfig: access logs, sampling, where spans go
  lugsail up --runtime docker                 as containers, with transparent interception
  lugsail up --runtime docker --profile httpbin --profile tcp-echo"""


def up(
    proxy: Annotated[str, typer.Option(help="The proxy of every pod: python or envoy.")] = "python",
    proxy_for: Annotated[
        list[str] | None, typer.Option(metavar="WORKLOAD=PROXY", help="The proxy of one workload; may be repeated.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The ingress gateway's port on 127.0.0.1.")] = 8080,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the mesh is up.")] = False,
    topology: Annotated[Path | None, typer.Option(help="A compose file of workloads. Default: Bookinfo.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the last mesh's resources (else a new mesh begins with the gateway's).")
    ] = False,
    log_level: Annotated[str, typer.Option(help="Of control plane and proxies: debug, info, warning, error.")] = "info",
    runtime: Annotated[str, typer.Option(help="What the mesh is made of: processes, or docker for containers.")] = (
        "processes"
    ),
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="NAME", help="With docker: services of this profile too; may be repeated."),
    ] = None,
    build: Annotated[bool, typer.Option("--build", help="With docker: build the images anew.")] = False,
    mesh_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Istio's MeshConfig. Default: samples/telemetry/mesh-config.yaml."),
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", metavar="PART", help="Prometheus beside the mesh: prometheus.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Do without tracing or metrics; may be repeated.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="With docker: how long to wait for all to be ready.")] = (
        "120s"
    ),
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="NAME", help="With docker: the compose project. Default: the file's name."),
    ] = None,
) -> int:
    """Start the mesh: control plane, gateway, each workload with its sidecar; traces and metrics beside them.

    A new mesh starts with an empty store and the sample gateway; the resources of the last one are set aside in
    store.previous.db of the state folder ($LUGSAIL_HOME, default ~/.lugsail), or kept with --keep.
    After a mesh that was killed its resources are kept, and a control plane that is restarted loses nothing.

    The mesh config in force is a copy of the shipped one in the state folder, read again when you change it there, or
    the file of --mesh-config.

    With --runtime docker every workload is a pod of containers whose traffic is captured, started by Docker Compose:
    images that are missing are built, and the store is the volume lugsail-store of the project. A mesh that plain
    `docker compose up` started is the same one, and every other command finds it too.
    """
    from lugsail.lab import plan

    try:
        plan.check_proxy(proxy, "--proxy")
        plan.check_log_level(log_level)
        proxies = plan.parse_proxy_for(proxy_for or [])
        observers = plan.choose_observers(with_ or [], without or [])
    except plan.BadOption as problem:
        raise CliError(str(problem), USAGE) from problem
    if runtime not in ("processes", "docker"):
        raise CliError(f"--runtime {runtime}: choose processes or docker.", USAGE)
    if runtime == "docker":
        from lugsail.lab.containers.compose_file import Options

        timeout_s = distribution.parse_timeout(timeout)
        chosen = project or os.environ.get("LUGSAIL_PROJECT") or None
        profiles = tuple(profile or ())
        options = Options(
            *(topology, chosen, proxy, proxies, port, keep, build, log_level, timeout_s, profiles),
            mesh_config=mesh_config,
            observers=observers,
        )
        return _up_docker(options, detach)
    for option, given in (("--build", build), ("--project", project), ("--profile", profile)):
        if given:
            raise CliError(f"{option} is for a mesh of containers: add --runtime docker.", USAGE)
    return _up_processes(
        _process_options(topology, proxy, proxies, port, keep, log_level, mesh_config, observers), detach
    )


def _process_options(
    topology: Path | None,
    proxy: str,
    proxy_for: dict[str, str],
    port: int,
    keep: bool,
    log_level: str,
    mesh_config: Path | None,
    observers: tuple[str, ...],
) -> ProcessOptions:
    from lugsail.lab import plan
    from lugsail.lab.addressing import DEFAULT_SUBNET, BadSubnet, Subnet
    from lugsail.lab.paths import Home, shipped

    try:
        return plan.Options(
            home=Home.from_environment(),
            subnet=Subnet.parse(os.environ.get("LUGSAIL_SUBNET", DEFAULT_SUBNET)),
            topology=(topology or shipped("compose/app.yaml")).absolute(),
            gateway_port=port,
            proxy=proxy,
            proxy_for=proxy_for,
            keep=keep,
            log_level=log_level,
            mesh_config=mesh_config.absolute() if mesh_config else None,
            observers=observers,
        )
    except BadSubnet as problem:
        raise CliError(str(problem), USAGE) from problem


def _up_processes(options: ProcessOptions, detach: bool) -> int:
    from lugsail.lab import run as lab

    shown = _Shown(detach)
    try:
        if detach:
            for event in lab.run_detached(options):
                shown(event)
            return shown.exit_code
        return lab.run(options, shown)
    except BrokenPipeError:
        raise  # whoever read our output went away: no trouble of the state folder's
    except OSError as problem:
        raise CliError(f"Cannot use the state folder {options.home.root}: {problem.strerror}.") from problem


def _up_docker(options: Options, detach: bool) -> int:
    from lugsail.lab.containers import up as containers

    return containers.run(options, _Shown(detach), detach)


def _how_to_call() -> tuple[str, str]:
    """This command and the samples folder, as short as they work from the current folder."""
    from lugsail.lab.paths import shipped

    called = Path(sys.argv[0]).absolute()
    found = shutil.which("lugsail")
    program = "lugsail" if found and Path(found).absolute() == called else _from_here(called)
    return program if called.name == "lugsail" else "lugsail", _from_here(shipped("samples"))


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class _Shown:
    """Shows events; remembers how it went."""

    def __init__(self, detached: bool) -> None:
        from lugsail.lab.progress import Progress

        self._progress = Progress(sys.stdout, has_colour(sys.stdout))
        self._detached = detached
        self.exit_code = 0

    def __call__(self, event: dict[str, Any]) -> None:
        from lugsail.lab.progress import summary

        if event["event"] == "error":
            raise CliError(event["text"], event["exit_code"])
        self._progress(event)
        if event["event"] == "up":
            colour = has_colour(sys.stdout)
            program, samples = _how_to_call()
            metrics = event.get("metrics")
            names = (event["gateway"], event["control_plane"], event["bookinfo"])
            print(summary(*names, colour, program, samples, metrics, event.get("observers")))
            if event["failed"]:
                self.exit_code = FAILURE
                print(f"\nNot ready: {', '.join(event['failed'])}. The rest runs; `lugsail status` follows it.")
            last = f"`{program} down` stops it." if self._detached else "Ctrl-C stops it."
            print(f"\n{last}", flush=True)
        elif event["event"] == "stopping":
            print("\nStopping …", flush=True)
        elif event["event"] == "stopped":
            print("Stopped; nothing is left running.", flush=True)
