"""`lugsail up`: starts the mesh and shows it coming up."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lugsail.cli.output import FAILURE, USAGE, CliError, has_colour

EXAMPLES = """\b
Examples:
  lugsail up                                  the mesh with Bookinfo; Ctrl-C stops all of it
  lugsail up --detach --port 9000             in the background, the page on port 9000
  lugsail up --proxy-for reviews-v2=envoy     the stock Envoy beside reviews-v2
  lugsail up --keep                           with the resources of the last mesh"""


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
) -> int:
    """Start the mesh: control plane, gateway, and each workload with its sidecar.

    A new mesh starts with an empty store and the sample gateway; the resources of the last one are set aside in
    store.previous.db of the state folder ($LUGSAIL_HOME, default ~/.lugsail), or kept with --keep.
    After a mesh that was killed its resources are kept, and a control plane that is restarted loses nothing.
    """
    from lugsail.lab import plan
    from lugsail.lab import run as lab
    from lugsail.lab.addressing import DEFAULT_SUBNET, BadSubnet, Subnet
    from lugsail.lab.checks import CannotStart
    from lugsail.lab.paths import Home, shipped
    from lugsail.lab.progress import Progress

    try:
        options = plan.Options(
            home=Home.from_environment(),
            subnet=Subnet.parse(os.environ.get("LUGSAIL_SUBNET", DEFAULT_SUBNET)),
            topology=(topology or shipped("compose/app.yaml")).absolute(),
            gateway_port=port,
            proxy=plan.check_proxy(proxy, "--proxy"),
            proxy_for=plan.parse_proxy_for(proxy_for or []),
            keep=keep,
            log_level=plan.check_log_level(log_level),
        )
    except (plan.BadOption, BadSubnet) as problem:
        raise CliError(str(problem), USAGE) from problem
    progress = Progress(sys.stdout, has_colour(sys.stdout))
    shown = _Shown(progress, detach)
    try:
        if detach:
            for event in lab.run_detached(options):
                shown(event)
            return shown.exit_code
        return lab.run(options, shown)
    except CannotStart as problem:
        raise CliError(str(problem), problem.exit_code) from problem
    except BrokenPipeError:
        raise  # whoever read our output went away: no trouble of the state folder's
    except OSError as problem:
        raise CliError(f"Cannot use the state folder {options.home.root}: {problem.strerror}.") from problem


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

    def __init__(self, progress: Any, detached: bool) -> None:
        self._progress = progress
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
            print(summary(event["gateway"], event["control_plane"], event["bookinfo"], colour, program, samples))
            if event["failed"]:
                self.exit_code = FAILURE
                print(f"\nNot ready: {', '.join(event['failed'])}. The rest runs; `lugsail status` follows it.")
            last = f"`{program} down` stops it." if self._detached else "Ctrl-C stops it."
            print(f"\n{last}", flush=True)
        elif event["event"] == "stopping":
            print("\nStopping …", flush=True)
        elif event["event"] == "stopped":
            print("Stopped; nothing is left running.", flush=True)
