"""Keeps the lab's logs bounded: each file at most LIMIT_BYTES, with one older part beside it (`NAME.log.1`).

The writers hold their files open for appending, so a file is copied and then emptied in place; lines written between
the two are lost, which a log of this kind can bear. On a full disk the older parts go first, then the largest files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 20 * 1024 * 1024
LOW_DISK_BYTES = 32 * 1024 * 1024
CHECK_EVERY_S = 2.0


def begin_anew(folder: Path, keep: str = "lab.log") -> None:
    """Set the logs of the last lab aside, so that this one's hold nothing but its own. Never raises OSError."""
    for path in folder.glob("*.log"):
        if path.name != keep:
            with contextlib.suppress(OSError):
                path.replace(path.with_name(path.name + ".1"))


def trim(folder: Path, limit_bytes: int = LIMIT_BYTES, free_bytes: Callable[[Path], int] | None = None) -> list[str]:
    """Look at every log once; what was done, in words (empty when all was well). Never raises OSError."""
    notes: list[str] = []
    with contextlib.suppress(OSError):
        large = (path for path in sorted(folder.glob("*.log")) if path.stat().st_size > limit_bytes)
        notes.extend(_rotate(path) for path in large)
    with contextlib.suppress(OSError):
        free = (free_bytes or _free_bytes)(folder)
        if free < LOW_DISK_BYTES:
            notes.extend(_make_room(folder, free))
    return notes


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _rotate(path: Path) -> str:
    older = path.with_name(path.name + ".1")
    try:
        shutil.copyfile(path, older)
        kept = f"the older part is {older.name}"
    except OSError as error:
        with contextlib.suppress(OSError):
            older.unlink()
        kept = f"the older part is lost ({error.strerror})"
    os.truncate(path, 0)
    return f"{path.name} had grown over its limit and starts anew; {kept}"


def _make_room(folder: Path, free: int) -> list[str]:
    """Drop older parts, then empty files of a megabyte and more."""
    freed = 0
    for path in [*folder.glob("*.log.1"), *sorted(folder.glob("*.log"), key=lambda p: -p.stat().st_size)]:
        size = path.stat().st_size
        if path.suffix == ".1":
            path.unlink()
        elif size >= 1024 * 1024:
            os.truncate(path, 0)
        else:
            continue
        freed += size
    if not freed:
        return []
    return [f"the disk is nearly full ({free // 1024} KiB free): {freed // 1024} KiB of logs were dropped"]
