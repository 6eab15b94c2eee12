"""Ids of services, operations and resources: few in number, so remembered; pruned when their last span is gone."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import Any

_CACHE_LIMIT = 20_000


class Names:
    """Looks ids up and makes them, inside the writer's transaction. `touch` writes down which were seen last."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._services: dict[str, int] = {}
        self._operations: dict[tuple[int, str, int], int] = {}
        self._resources: dict[bytes, int] = {}
        self._seen: tuple[dict[int, int], dict[int, int], dict[int, int]] = ({}, {}, {})

    def forget(self) -> None:
        """After a rollback: what was made in it is not there."""
        for cache in (self._services, self._operations, self._resources, *self._seen):
            cache.clear()

    def service(self, name: str, at: int) -> int:
        """Raises sqlite3.Error, as all below. `at` is the id of the span that has it."""
        known = self._services.get(name)
        if known is None:
            known = self._make("SELECT id FROM service WHERE name=?", "service (name, last)", (name,), at)
            self._remember(self._services, name, known)
        self._seen[0][known] = at
        return known

    def operation(self, service: int, name: str, kind: int, at: int) -> int:
        """The id of an operation of a service, of one span kind."""
        key = (service, name, kind)
        known = self._operations.get(key)
        if known is None:
            find = "SELECT id FROM operation WHERE service=? AND name=? AND kind=?"
            known = self._make(find, "operation (service, name, kind, last)", key, at)
            self._remember(self._operations, key, known)
        self._seen[1][known] = at
        return known

    def resource(self, blob: bytes, at: int) -> int:
        """The id of a resource with its scope."""
        digest = blake2b(blob, digest_size=16).digest()
        known = self._resources.get(digest)
        if known is None:
            found = self._db.execute("SELECT id FROM resource WHERE digest=?", (digest,)).fetchone()
            if found is None:
                made = self._db.execute("INSERT INTO resource (digest, blob, last) VALUES (?,?,?)", (digest, blob, at))
                known = int(made.lastrowid or 0)
            else:
                known = int(found[0])
            self._remember(self._resources, digest, known)
        self._seen[2][known] = at
        return known

    def touch(self) -> None:
        """Write what was seen since the last call."""
        for table, seen in zip(("service", "operation", "resource"), self._seen, strict=True):
            self._db.executemany(f"UPDATE {table} SET last=? WHERE id=?", [(at, key) for key, at in seen.items()])
            seen.clear()

    def prune(self, oldest: int) -> None:
        """Delete those whose last span came before the span `oldest`."""
        gone = 0
        for table in ("operation", "service", "resource"):
            gone += self._db.execute(f"DELETE FROM {table} WHERE last < ?", (oldest,)).rowcount
        if gone:
            self._services.clear()
            self._operations.clear()
            self._resources.clear()

    def _make(self, find: str, into: str, key: tuple[object, ...], at: int) -> int:
        found = self._db.execute(find, key).fetchone()
        if found is not None:
            return int(found[0])
        marks = ",".join("?" * (len(key) + 1))
        return int(self._db.execute(f"INSERT INTO {into} VALUES ({marks})", (*key, at)).lastrowid or 0)

    @staticmethod
    def _remember(cache: dict[Any, int], key: Any, value: int) -> None:
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        cache[key] = value
