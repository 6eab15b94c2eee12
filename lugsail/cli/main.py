"""The `lugsail` command: a table of subcommands, each in a file of its own, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from lugsail.cli import (
    apply,
    delete,
    down,
    exec,
    get,
    logs,
    proxy_config,
    proxy_status,
    render_command,
    run,
    status,
    up,
    validate,
    version,
)
from lugsail.cli.output import FAILURE, USAGE, CliError, error
from lugsail.client import ApiError, Unreachable

app = typer.Typer(
    name="lugsail",
    help="A service mesh on your machine: Istio's YAML in, real traffic through.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}

# In the order of `lugsail --help`, each with its line there.
app.command("up", short_help="Start the mesh.", epilog=up.EXAMPLES)(up.up)
app.command("down", short_help="Stop the mesh.", epilog=down.EXAMPLES)(down.down)
app.command("status", short_help="Workloads, sync state, memory.", epilog=status.EXAMPLES)(status.status)
app.command("logs", short_help="The log of an app or its proxy.", epilog=logs.EXAMPLES)(logs.logs)
app.command("apply", short_help="Create or update resources.", epilog=apply.EXAMPLES)(apply.apply)
app.command("delete", short_help="Delete resources.", epilog=delete.EXAMPLES)(delete.delete)
app.command("get", short_help="Show resources.", epilog=get.EXAMPLES)(get.get)
app.command("validate", short_help="Check resources offline.", epilog=validate.EXAMPLES)(validate.validate)
app.command("proxy-status", short_help="Who has which configuration (ps).", epilog=proxy_status.EXAMPLES)(
    proxy_status.proxy_status
)
app.command("ps", hidden=True, epilog=proxy_status.EXAMPLES)(proxy_status.proxy_status)
app.add_typer(proxy_config.app, name="proxy-config", short_help="What a proxy runs on (pc).")
app.add_typer(proxy_config.app, name="pc", hidden=True)
app.command("render", short_help="The xDS of files, offline.", epilog=render_command.EXAMPLES)(render_command.render)
app.command("exec", short_help="Run a command as a workload.", epilog=exec.EXAMPLES, context_settings=PASS_THROUGH)(
    exec.exec_
)
app.command("run", short_help="A program of yours joins the mesh.", epilog=run.EXAMPLES, context_settings=PASS_THROUGH)(
    run.run
)
app.command("version", short_help="What is installed.", epilog=version.EXAMPLES)(version.version)


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code: 0, 1 failure, 64 usage, 65 data, or a run program's own."""
    try:
        result = app(args=argv, prog_name="lugsail", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away; nothing more to say to it
        return 0
    except CliError as problem:
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
