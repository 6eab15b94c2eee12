"""The resource store: SQLite on disk, everything in memory, one revision that only grows.

Every write is one transaction in WAL mode: what was answered survives kill -9 of the process (`synchronous=NORMAL`;
a power cut may take the last moments, never the file). A write that fails changes neither disk nor memory.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lugsail.api.base import Resource, ResourceKey
from lugsail.api.errors import InvalidResource
from lugsail.api.load import load_resource

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, generation INTEGER NOT NULL, uid TEXT NOT NULL, created TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
"""

# Metadata that the store fills; what a client says there is not kept.
SERVER_FIELDS = ("resourceVersion", "generation", "uid", "creationTimestamp", "managedFields", "selfLink")


class StoreError(Exception):
    """The disk refused. `status`: the HTTP status that says so (507 full, 500 anything else)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StoreUnusable(Exception):
    """The file cannot be opened as a store; the text says why and what to do."""


class AlreadyExists(Exception):
    """Create found the name taken."""


class NotFound(Exception):
    """No resource has that name."""


class Conflict(Exception):
    """The resource changed since the client read it."""


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Stored:
    """One resource. `document`: what the user wrote, without the metadata that the store fills."""

    key: ResourceKey
    revision: int
    generation: int
    uid: str
    created: str
    document: dict[str, Any]
    resource: Resource

    def to_dict(self) -> dict[str, Any]:
        """As the API answers it."""
        metadata = {
            **self.document["metadata"],
            "uid": self.uid,
            "resourceVersion": str(self.revision),
            "generation": self.generation,
            "creationTimestamp": self.created,
        }
        return {**self.document, "metadata": metadata}


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `revision` is the store's after it; `before` is what was there."""

    type: EventType
    revision: int
    stored: Stored
    before: Stored | None = None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Open one per file. All calls are synchronous and take well under a millisecond on a healthy disk."""

    def __init__(
        self, path: Path, now: Callable[[], str] = _now, new_uid: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        """Raises StoreUnusable."""
        self.path = path
        self.revision = 0
        # Resources that this version cannot read any more: kept on disk, not served.
        self.unreadable: dict[ResourceKey, str] = {}
        self._now = now
        self._new_uid = new_uid
        self._resources: dict[ResourceKey, Stored] = {}
        self._observers: list[Callable[[Event], None]] = []
        self._db = self._open()

    def close(self) -> None:
        self._db.close()

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Call it after every change, in order of the revisions."""
        self._observers.append(observer)

    # Reading

    def get(self, key: ResourceKey) -> Stored | None:
        return self._resources.get(key)

    def list(self, kind: str | None = None, namespace: str | None = None) -> list[Stored]:
        """Ordered by namespace and name."""
        found = [
            stored
            for key, stored in self._resources.items()
            if (kind is None or key.kind == kind) and (namespace is None or key.namespace == namespace)
        ]
        return sorted(found, key=lambda stored: stored.key)

    def resources(self) -> Iterator[Resource]:
        """The typed resources, their metadata complete."""
        return (stored.resource for stored in self._resources.values())

    # Writing

    def create(self, resource: Resource, document: dict[str, Any]) -> Stored:
        """Raises AlreadyExists, StoreError."""
        key = resource.key
        if key in self._resources:
            raise AlreadyExists(f"{key} already exists")
        stored = self._stored(resource, document, 1, self._new_uid(), self._now())
        self._write(stored)
        self._done(Event(EventType.ADDED, self.revision, stored))
        return stored

    def update(self, resource: Resource, document: dict[str, Any], expected_revision: int | None) -> Stored:
        """Replace it; what is equal stays as it is, with its revision. Raises NotFound, Conflict, StoreError."""
        key = resource.key
        old = self._resources.get(key)
        if old is None:
            raise NotFound(f"{key} does not exist")
        self._check_revision(old, expected_revision)
        cleaned = clean(document)
        if cleaned == old.document:
            return old
        generation = old.generation + (cleaned.get("spec") != old.document.get("spec"))
        stored = self._stored(resource, document, generation, old.uid, old.created)
        self._write(stored)
        self._done(Event(EventType.MODIFIED, self.revision, stored, old))
        return stored

    def delete(self, key: ResourceKey, expected_revision: int | None = None) -> Stored:
        """What was deleted. Raises NotFound, Conflict, StoreError."""
        old = self._resources.get(key)
        if old is None:
            raise NotFound(f"{key} does not exist")
        self._check_revision(old, expected_revision)
        revision = self.revision + 1
        with self._transaction(revision):
            self._db.execute("DELETE FROM resources WHERE kind = ? AND namespace = ? AND name = ?", key)
        self.revision = revision
        del self._resources[key]
        gone = Stored(key, revision, old.generation, old.uid, old.created, old.document, old.resource)
        self._done(Event(EventType.DELETED, revision, gone, old))
        return gone

    def bump(self) -> int:
        """The next revision, for a change outside the store (the registry). A disk that refuses does not stop it."""
        self.revision += 1
        try:
            with self._transaction(self.revision):
                pass
        except StoreError as error:
            log.error("revision %d is not on disk: %s", self.revision, error)
        return self.revision

    # Inside

    def _stored(self, resource: Resource, document: dict[str, Any], generation: int, uid: str, created: str) -> Stored:
        revision = self.revision + 1
        complete = resource.with_metadata(
            resource_version=str(revision), generation=generation, uid=uid, creation_timestamp=created
        )
        return Stored(resource.key, revision, generation, uid, created, clean(document), complete)

    def _write(self, stored: Stored) -> None:
        data = json.dumps(stored.document, separators=(",", ":"), ensure_ascii=False)
        row = (*stored.key, stored.revision, stored.generation, stored.uid, stored.created, data)
        with self._transaction(stored.revision):
            self._db.execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.revision = stored.revision
        self._resources[stored.key] = stored
        self.unreadable.pop(stored.key, None)

    def _done(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    @staticmethod
    def _check_revision(old: Stored, expected: int | None) -> None:
        if expected is not None and expected != old.revision:
            raise Conflict(
                f"{old.key} was changed meanwhile: it is at resourceVersion {old.revision}, not {expected}; "
                "read it again and apply the change to that"
            )

    @contextmanager
    def _transaction(self, revision: int) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('revision', ?)", (revision,))
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # a failed COMMIT may have rolled back already
            raise _store_error(self.path, error) from error

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
            # One writer: a second control plane on the file is told so, instead of both losing updates.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise StoreUnusable(self._unusable(f"is damaged: {verdict}"))
            db.executescript(_SCHEMA)
            db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (SCHEMA_VERSION,))
            self._load(db)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnusable(self._unusable(f"cannot be used: {error}")) from error
        return db

    def _unusable(self, problem: str) -> str:
        hint = "move it away to start empty, or put back a copy"
        if "locked" in problem:
            hint = "another control plane has it open; stop that one, or name another file with --store"
        elif "unable to open" in problem or "readonly" in problem or "ermission" in problem:
            hint = "make the folder and the file writable, or name another file with --store"
        return f"store {self.path} {problem}; {hint}"

    def _load(self, db: sqlite3.Connection) -> None:
        meta = dict(db.execute("SELECT name, value FROM meta"))
        if meta["schema"] > SCHEMA_VERSION:
            found = meta["schema"]
            raise StoreUnusable(f"store {self.path} was written by a newer Lugsail (schema {found}); use that one")
        self.revision = meta.get("revision", 0)
        for kind, namespace, name, revision, generation, uid, created, data in db.execute("SELECT * FROM resources"):
            key = ResourceKey(kind, namespace, name)
            self.revision = max(self.revision, revision)
            try:
                document = json.loads(data)
                resource = load_resource(document).with_metadata(
                    resource_version=str(revision), generation=generation, uid=uid, creation_timestamp=created
                )
            except (InvalidResource, ValueError) as error:
                log.error("store %s: %s cannot be read and is left out: %s", self.path, key, error)
                self.unreadable[key] = str(error)
                continue
            self._resources[key] = Stored(key, revision, generation, uid, created, document, resource)


def clean(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what the store fills, and without status."""
    metadata = {name: value for name, value in document["metadata"].items() if name not in SERVER_FIELDS}
    return {**{name: value for name, value in document.items() if name != "status"}, "metadata": metadata}


def _store_error(path: Path, error: Exception) -> StoreError:
    text = str(error)
    if "full" in text or "No space" in text:
        return StoreError(f"the disk of {path} is full; nothing was changed: free some space and try again", 507)
    return StoreError(f"{path} cannot be written: {text}; nothing was changed", 500)
