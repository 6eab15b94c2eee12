"""Writes docs/reference/cli.md from the commands themselves: python -m lugsail.cli.reference > docs/reference/cli.md"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from lugsail.cli.main import build_app

HEAD = """# The command line
Written by `make docs` from the commands themselves; `lugsail COMMAND --help` says the same.

Exit codes: 0 success, 1 failure (a proxy rejected the change, a resource is not there, a mesh does not run),
64 wrong usage, 65 data that cannot be read; `exec` and `run` pass on their program's own.

| variable | meaning |
|---|---|
| `LUGSAIL_HOME` | the folder of state and logs; default `~/.lugsail`. One mesh a folder |
| `LUGSAIL_SUBNET` | the first two octets of the mesh's loopback addresses; default `127.20`. One mesh a subnet |
| `LUGSAIL_CONTROL_PLANE` | the control plane's URL for resource commands; default: the running mesh's |
| `LUGSAIL_PROJECT` | the compose project of the mesh of containers that commands mean, where several run |
| `DOCKER_HOST`, `DOCKER_CONTEXT` | the Docker engine, as for the docker command |
| `LUGSAIL_DEBUG` | `1`: an unexpected error shows where it came from |
| `NO_COLOR` | no colours on a terminal |
"""


def page() -> str:
    """The whole page as Markdown."""
    root: Any = typer.main.get_command(build_app())
    return "\n".join([HEAD, *(part for name, command in root.commands.items() for part in _command(name, command))])


def _command(name: str, command: Any) -> Iterator[str]:
    if command.hidden:
        return
    if hasattr(command, "commands"):
        yield f"## lugsail {name}\n{_sentences(command.help)}\n\n{_examples(command.epilog)}"
        for inner, each in command.commands.items():
            yield from _command(f"{name} {inner}", each)
        return
    arguments = [_argument(each) for each in command.params if each.param_type_name == "argument"]
    usage = " ".join(["lugsail", name, *(["[OPTIONS]"] if _options(command) else []), *arguments])
    yield f"## lugsail {name}\n{_sentences(command.help)}\n\n    {usage}\n"
    rows = [f"| {shown} | {text} |" for shown, text in (*_described(command), *_options(command))]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows]) + "\n"
    yield _examples(command.epilog)


def _described(command: Any) -> list[tuple[str, str]]:
    arguments = (each for each in command.params if each.param_type_name == "argument" and each.help)
    return [(f"`{_argument(each)}`", each.help) for each in arguments]


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _options(command: Any) -> list[tuple[str, str]]:
    rows = []
    for each in command.params:
        if each.param_type_name != "option":
            continue
        names = ", ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts))
        value = "" if each.is_flag else f" {each.metavar or each.name.upper().replace('_', '-')}"
        required = " Required." if each.required else ""
        shown = (
            "" if each.default is None or each.is_flag or each.default in ((), []) else f" Default: `{each.default}`."
        )
        rows.append((f"{names}{value}".replace("|", "\\|"), f"{each.help or ''}{shown}{required}"))
    return rows


def _sentences(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _examples(epilog: str | None) -> str:
    """The epilog's lines as a block of code."""
    lines = [line for line in (epilog or "").replace("\b", "").splitlines() if line.startswith("  ")]
    return "\n".join(["For example:\n", *(f"    {line.strip()}" for line in lines)]) + "\n" if lines else ""


if __name__ == "__main__":
    sys.stdout.write(page())
