"""Names of kinds as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lugsail.cli.output import USAGE, CliError

if TYPE_CHECKING:
    from lugsail.api.kinds import Kind


def kinds_of(text: str) -> list[Kind]:
    """`vs`, `virtualservices,dr` or `all` → kinds; raises CliError that names the known ones."""
    from lugsail.api.kinds import KINDS, UnknownKind, find_kind

    if text == "all":
        return list(KINDS.values())
    try:
        return [find_kind(part) for part in text.split(",") if part]
    except UnknownKind as problem:
        raise CliError(str(problem.args[0]), USAGE) from problem
