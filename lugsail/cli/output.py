"""What commands print: plain tables, JSON, YAML, colours on a terminal only, and errors that are sentences."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

FAILURE, USAGE, DATA = 1, 64, 65

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"


class CliError(Exception):
    """Ends a command with a message for people and an exit code: FAILURE, USAGE or DATA."""

    def __init__(self, message: str, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def has_colour(stream: TextIO) -> bool:
    """Colours go to terminals alone, and not where NO_COLOR is set (https://no-color.org) or TERM is dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(code: str, text: str, stream: TextIO | None = None) -> str:
    """The text in that colour where the stream (stdout by default) shows colours."""
    return f"\x1b[{code}m{text}\x1b[0m" if has_colour(stream or sys.stdout) else text


def error(text: str) -> None:
    """An error, in red on a terminal."""
    print(paint(RED, text, sys.stderr), file=sys.stderr)


def warn(text: str) -> None:
    print(paint(YELLOW, text, sys.stderr), file=sys.stderr)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns of aligned text, three blanks apart, as kubectl and istioctl print them."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = []
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        text.append("   ".join(cells).rstrip())
    text[0] = paint(BOLD, text[0])
    return "\n".join(text)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    import yaml

    return str(yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)).rstrip()


def check_format(chosen: str | None, known: Sequence[str]) -> str | None:
    """The -o value when it is one of `known`; raises CliError."""
    if chosen is not None and chosen not in known:
        raise CliError(f"-o {chosen}: there is no such output; choose {', '.join(known)}.", USAGE)
    return chosen


def counted(count: int, noun: str) -> str:
    """`1 proxy`, `2 proxies`, `3 errors`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """An age as kubectl shows it: `45s`, `12m`, `3h`, `2d`."""
    whole = max(int(seconds), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def mebibytes(count: int) -> str:
    return f"{count / (1024 * 1024):.1f} MiB"
