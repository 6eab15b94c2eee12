"""How the API says that something is wrong: where, what, and what would be right."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


@dataclass(frozen=True)
class FieldError:
    """One problem. `path` is a JSON path such as `spec.http[0].route[1].weight`; empty for the whole resource."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text}; {self.hint}" if self.hint else text


class InvalidResource(ValueError):
    """A resource that cannot be taken. `ref` names it (`VirtualService default/reviews`); all errors at once."""

    def __init__(self, ref: str, errors: Iterable[FieldError]) -> None:
        self.ref = ref
        self.errors = list(errors)
        count = "1 error" if len(self.errors) == 1 else f"{len(self.errors)} errors"
        super().__init__("\n".join([f"{ref} is invalid ({count}):", *(f"  {error}" for error in self.errors)]))


class DocumentError(ValueError):
    """A text that is not YAML we can read. `line` and `column` count from 1; 0 is unknown."""

    def __init__(self, source: str, line: int, column: int, message: str, hint: str = "") -> None:
        self.source, self.line, self.column, self.message, self.hint = source, line, column, message, hint
        place = f"{source}:{line}" + (f":{column}" if column else "") if line else source
        super().__init__(f"{place}: {message}" + (f"; {hint}" if hint else ""))


def child_path(path: str, part: str | int) -> str:
    """The path of a field or list item below `path`."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if not _PLAIN_NAME.match(part):
        return f'{path}["{part}"]'
    return f"{path}.{part}" if path else part


def join_path(parts: Sequence[str | int]) -> str:
    """`("spec", "http", 0, "headers", "x.y")` -> `spec.http[0].headers["x.y"]`."""
    path = ""
    for part in parts:
        path = child_path(path, part)
    return path
