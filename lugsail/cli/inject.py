"""`lugsail inject`: puts the mesh around a compose file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugsail.cli.output import DATA, FAILURE, USAGE, CliError, counted, error, warn

EXAMPLES = """\b
Examples:
  lugsail inject compose/app.yaml -o compose/bookinfo.yaml
  lugsail inject compose/app.yaml --proxy-for reviews-v1=envoy | docker compose -f - up
  lugsail inject compose/app.yaml -o compose/bookinfo.yaml --check      exits with 1 where the file is stale"""


def inject(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compose file without a mesh.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there. Default: standard output.")
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="PROXY", help="python or envoy. Default: what LUGSAIL_PROXY says at `up`, else python."),
    ] = None,
    proxy_for: Annotated[
        list[str] | None,
        typer.Option("--proxy-for", metavar="SERVICE=PROXY", help="The proxy of one service; may be repeated."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 where -o differs.")] = False,
) -> int:
    """Put the mesh around the services of a compose file: each becomes a pod with a sidecar.

    Labels with the names of Istio's annotations steer it, such as sidecar.istio.io/inject: "false" or
    traffic.sidecar.istio.io/excludeOutboundPorts. What is injected already is left as it is.
    """
    if check and output is None:
        raise CliError("--check compares with a file: name it with -o FILE.", USAGE)

    from controlplane.injector.compose import BadCompose, Choices
    from controlplane.injector.compose_text import inject_text
    from controlplane.injector.settings import BadAnnotation
    from lugsail.lab.plan import BadOption, check_proxy, parse_proxy_for

    try:
        chosen = Choices(check_proxy(proxy, "--proxy") if proxy else None, parse_proxy_for(proxy_for or []))
    except BadOption as problem:
        raise CliError(str(problem), USAGE) from problem
    try:
        done = inject_text(_read(file), str(file), chosen)
    except (BadCompose, BadAnnotation) as problem:
        raise CliError(f"{problem}\nNothing was injected.", DATA) from problem
    for text in done.warnings:
        warn(f"warning: {text}")
    for note in done.notes:
        warn(note)
    if output is None:
        print(done.text, end="")
        return 0
    if check:
        return _compare(output, done.text, file)
    try:
        output.write_text(done.text, encoding="utf-8")
    except OSError as problem:
        raise CliError(f"Cannot write {output}: {problem.strerror}.", USAGE) from problem
    print(f"wrote {output}: {counted(done.pods, 'pod')}", flush=True)
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise CliError(f"{file} is not UTF-8 text (byte {problem.start}): expected a compose file.", DATA) from problem
    except OSError as problem:
        raise CliError(f"Cannot read {file}: {problem.strerror}.", USAGE) from problem


def _compare(output: Path, text: str, file: Path) -> int:
    current = _read(output) if output.exists() else ""
    if current == text:
        print(f"{output} is what {file} gives")
        return 0
    error(f"{output} is not what {file} gives: make it anew with `lugsail inject {file} -o {output}`")
    return FAILURE
