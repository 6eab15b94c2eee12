"""The `lugsail` command: a table of subcommands, each in a file of its own, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

import typer

from lugsail.cli.output import FAILURE, USAGE, CliError, error
from lugsail.client import ApiError, Unreachable
from lugsail.lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand: `module` in lugsail.cli holds `function`, or, for a group, its `app`."""

    module: str
    function: str
    help: str
    hidden: bool = False
    group: bool = False
    passes_through: bool = False  # what follows its own arguments is another program's


# In the order of `lugsail --help`, each with its line there.
COMMANDS = {
    "up": Command("up", "up", "Start the mesh."),
    "down": Command("down", "down", "Stop the mesh."),
    "status": Command("status", "status", "Workloads, sync state, memory."),
    "logs": Command("logs", "logs", "The log of an app or of its proxy."),
    "requests": Command("requests", "requests", "Every request of the mesh, and why it ended so."),
    "apply": Command("apply", "apply", "Create or update resources."),
    "delete": Command("delete", "delete", "Delete resources."),
    "get": Command("get", "get", "Show resources."),
    "validate": Command("validate", "validate", "Check resources offline."),
    "proxy-status": Command("proxy_status", "proxy_status", "Who has which configuration (short: ps)."),
    "ps": Command("proxy_status", "proxy_status", "", hidden=True),
    "proxy-config": Command("proxy_config", "app", "What a proxy runs on (short: pc).", group=True),
    "pc": Command("proxy_config", "app", "", hidden=True, group=True),
    "render": Command("render_command", "render", "The xDS of files, offline."),
    "inject": Command("inject", "inject", "The mesh around a compose file."),
    "kube-inject": Command("kube_inject", "kube_inject", "Sidecars for Kubernetes workloads."),
    "check-inject": Command("check_inject", "check_inject", "Who has a sidecar, who not, and why."),
    "exec": Command("exec", "exec_", "Run a command as a workload.", passes_through=True),
    "run": Command("run", "run", "A program of yours joins the mesh.", passes_through=True),
    "load": Command("load", "load", "Load on Bookinfo, with assertions."),
    "version": Command("version", "version", "What is installed."),
}

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def build_app(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The command with these subcommands; the modules of others are not imported."""
    app = typer.Typer(
        name="lugsail",
        help="A service mesh on your machine: Istio's YAML in, real traffic through.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        callback=_nothing,
    )
    for name in names:
        command = COMMANDS[name]
        module = import_module(f"lugsail.cli.{command.module}")
        if command.group:
            app.add_typer(module.app, name=name, short_help=command.help, hidden=command.hidden)
            continue
        app.command(
            name,
            short_help=command.help,
            hidden=command.hidden,
            epilog=module.EXAMPLES,
            context_settings=PASS_THROUGH if command.passes_through else {},
        )(getattr(module, command.function))
    return app


def _nothing() -> None:
    """A service mesh on your machine: Istio's YAML in, real traffic through."""  # keeps one subcommand a subcommand


def _wanted(argv: list[str]) -> Iterable[str]:
    """The subcommand alone where it is the first word, for speed; else (help, completion, a slip) all of them."""
    completing = "_LUGSAIL_COMPLETE" in os.environ
    return argv[:1] if argv and argv[0] in COMMANDS and not completing else COMMANDS


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code: 0, 1 failure, 64 usage, 65 data, or a run program's own."""
    try:
        words = sys.argv[1:] if argv is None else argv
        result = build_app(_wanted(words))(args=words, prog_name="lugsail", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away; nothing more to say to it
        return 0
    except (CliError, LabError) as problem:
        error(f"lugsail: {problem}")
        return problem.exit_code
    except Unreachable as problem:
        error(f"lugsail: {problem} Is the mesh running? `lugsail status` tells; `lugsail up` starts it.")
        return FAILURE
    except ApiError as problem:
        error(f"lugsail: {problem}")
        return FAILURE
    except Exception as problem:
        show = getattr(problem, "show", None)
        if callable(show):  # typer's usage errors: unknown options, missing arguments
            show()
            return USAGE
        if os.environ.get("LUGSAIL_DEBUG"):
            traceback.print_exc()
        error(f"lugsail: unexpected {type(problem).__name__}: {problem} (LUGSAIL_DEBUG=1 shows where)")
        return FAILURE
