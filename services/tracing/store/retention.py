"""What goes out, and when: by age, and when the file comes near its bound. All inside the writer's transactions."""

from __future__ import annotations

import sqlite3

#: Pages in use above this part of the file's bound make room. The rest is for what one transaction adds.
FULL_PART = 0.92
#: Spans of a trace that goes out go with it where they arrived this soon after it, so that no half trace stays.
TRACE_TAIL_US = 60_000_000
_STEP = 200


class Retention:
    """Deletes the oldest spans of one database."""

    def __init__(self, db: sqlite3.Connection, keep_us: int) -> None:
        self._db = db
        self._keep_us = keep_us
        self._limit_pages = int(self._pragma("max_page_count") * FULL_PART)

    def used_bytes(self) -> int:
        """Of the file's pages, those that hold something."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def oldest(self) -> int | None:
        """The id (µs of arrival) of the oldest span."""
        found: int | None = self._db.execute("SELECT min(id) FROM span").fetchone()[0]
        return found

    def expire(self, now_us: int, limit: int) -> int:
        """Delete spans that are too old, about `limit` at most, and say how many."""
        border = self._border(limit, now_us - self._keep_us)
        return 0 if border is None else self._delete_before(border)

    def make_room(self, incoming: int) -> int:
        """Delete the oldest spans while the file is near its bound; so many that it does not grow with `incoming`."""
        gone = 0
        while self._pragma("page_count") - self._pragma("freelist_count") > self._limit_pages and gone < 4 * incoming:
            step = self.delete_oldest(max(_STEP, incoming))
            if not step:
                break
            gone += step
        return gone

    def at_bound(self) -> bool:
        """That the file has no page left to grow by."""
        free = self._pragma("max_page_count") - self._pragma("page_count") + self._pragma("freelist_count")
        return free < self._pragma("max_page_count") * (1 - FULL_PART) / 2

    def halve(self) -> int:
        """Delete the older half, where nothing less helps: the file is full to its bound."""
        found = self._db.execute("SELECT count(*) FROM span").fetchone()[0]
        return self.delete_oldest(max(1, found // 2))

    def delete_oldest(self, count: int) -> int:
        """Delete about so many spans, and say how many."""
        border = self._border(count, None)
        return 0 if border is None else self._delete_before(border)

    def _border(self, count: int, before: int | None) -> int | None:
        """The id behind the first `count` spans, or behind those before `before` if these are fewer."""
        where, arguments = ("", ()) if before is None else (" WHERE id < ?", (before,))
        row = self._db.execute(
            f"SELECT max(id) FROM (SELECT id FROM span{where} ORDER BY id LIMIT ?)", (*arguments, count)
        ).fetchone()
        return None if row[0] is None else int(row[0]) + 1

    def _delete_before(self, border: int) -> int:
        tail = self._db.execute(
            "DELETE FROM span WHERE trace IN (SELECT DISTINCT trace FROM span WHERE id < ?) AND id >= ? AND id < ?",
            (border, border, border + TRACE_TAIL_US),
        ).rowcount
        return tail + self._db.execute("DELETE FROM span WHERE id < ?", (border,)).rowcount

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
