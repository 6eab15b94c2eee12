"""Rows as text: aligned columns, colours on a terminal, nothing that a terminal would obey."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from lugsail.requests.row import Row

HEADER = ("TIME", "FROM", "TO", "REQUEST", "CODE", "MS", "RULE", "WHY")
#: Columns begin so wide, grow with what is seen, and end here on a terminal; longer cells push their own line only.
NARROWEST = (12, 14, 14, 16, 4, 5, 13, 3)
WIDEST = (12, 30, 30, 44, 4, 7, 60, 0)
LONGEST_CELL = 400
GAP = "  "
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


def printable(text: str) -> str:
    """Without control characters, bidirectional marks and bytes that are no text: those become `\\x1b` and the like."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


class Table:
    """Prints rows one after another, as they come. `colour`: for a terminal."""

    def __init__(self, colour: bool = False) -> None:
        self._colour = colour
        self._widths = list(NARROWEST)

    def header(self) -> str:
        return self._line(HEADER, [BOLD] * len(HEADER))

    def fit(self, rows: Sequence[Row]) -> None:
        """Make the columns wide enough for rows that are known beforehand."""
        for row in rows:
            self._grow(_cells(row))

    def row(self, row: Row) -> str:
        cells = _cells(row)
        self._grow(cells)
        code = _code_colour(row.line.code)
        return self._line(cells, [DIM, "", "", "", code, "", CYAN if row.rule else DIM, code or YELLOW])

    def _grow(self, cells: Sequence[str]) -> None:
        for n, cell in enumerate(cells):
            self._widths[n] = min(max(self._widths[n], len(cell)), WIDEST[n])

    def _line(self, cells: Sequence[str], colours: Sequence[str]) -> str:
        parts = []
        for cell, width, colour in zip(cells, self._widths, colours, strict=True):
            padded = cell.ljust(width)
            parts.append(f"\x1b[{colour}m{padded}\x1b[0m" if self._colour and colour and cell else padded)
        return GAP.join(parts).rstrip()


def as_json(row: Row) -> str:
    """One object on one line, in ASCII."""
    return json.dumps(row.to_dict(), separators=(", ", ": "))


def clock(start: float) -> str:
    """The local time of day, with milliseconds."""
    whole, thousandths = divmod(round(start * 1000), 1000)
    return f"{time.strftime('%H:%M:%S', time.localtime(whole))}.{thousandths:03d}"


def _cells(row: Row) -> list[str]:
    line = row.line
    attempts = row.hop.attempts or 1
    why = " · ".join(filter(None, (row.why, f"{attempts} attempts" if attempts > 1 else "")))
    cells = [
        clock(line.start),
        row.source.shown,
        f"→ {row.destination.shown}",
        f"{line.method or '-'} {line.path or '-'}",
        str(line.code) if line.code else "-",
        "-" if line.duration_ms is None else str(line.duration_ms),
        row.shown_rule,
        why,
    ]
    return [printable(cell if len(cell) <= LONGEST_CELL else cell[: LONGEST_CELL - 1] + "…") for cell in cells]


def _code_colour(code: int) -> str:
    if code == 0 or code >= 500:
        return RED
    return YELLOW if code >= 400 else GREEN
