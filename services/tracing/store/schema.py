"""The tables, and how a connection is opened.

A span's row: ids and times as columns, all of it as an OTLP Span in `blob`. `id` is the time of arrival in µs, counted
on where several arrive in one; so rows lie on disk in the order in which they grow old, and the oldest are deleted from
one end. Three indexes, each covering what its question needs:

    span_trace    a trace's spans; with parents, services and kinds: the dependencies
    span_search   a service's spans by time, with all that a search filters by (tags as a signature)
    span_request  by the hash of the request id, for the spans that have one
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

APPLICATION_ID = 0x4C755472  # "LuTr"
VERSION = 1
PAGE_BYTES = 4096

_TABLES = """
CREATE TABLE service (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL);
CREATE TABLE operation (id INTEGER PRIMARY KEY, service INTEGER NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,
                        last INTEGER NOT NULL, UNIQUE (service, name, kind));
CREATE TABLE resource (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, blob BLOB NOT NULL, last INTEGER NOT NULL);
CREATE TABLE span (id INTEGER PRIMARY KEY, trace BLOB NOT NULL, span INTEGER NOT NULL, parent INTEGER NOT NULL,
                   kind INTEGER NOT NULL, service INTEGER NOT NULL, operation INTEGER NOT NULL, start INTEGER NOT NULL,
                   duration INTEGER NOT NULL, bits_a INTEGER NOT NULL, bits_b INTEGER NOT NULL, request INTEGER,
                   resource INTEGER NOT NULL, blob BLOB NOT NULL);
CREATE INDEX span_trace ON span (trace, span, parent, service, kind, start);
CREATE INDEX span_search ON span (service, start, operation, duration, bits_a, bits_b);
CREATE INDEX span_request ON span (request) WHERE request IS NOT NULL;
"""


class StoreUnusable(Exception):
    """The file cannot be used. The text names it, what is wrong and the way out."""


def open_writer(path: Path, max_bytes: int, power_safe: bool) -> sqlite3.Connection:
    """The one connection that writes; makes the file where there is none. Raises StoreUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False)
        _prepare(db, path)
        db.execute("PRAGMA journal_mode=WAL")
        # What is committed is in the kernel's hands: it outlives this process. FULL also waits for the disk.
        db.execute(f"PRAGMA synchronous={'FULL' if power_safe else 'NORMAL'}")
        db.execute(f"PRAGMA cache_size=-{min(32 << 20, max_bytes // 4) >> 10}")
        wal_bytes = wal_allowance(max_bytes)
        db.execute(f"PRAGMA wal_autocheckpoint={max(16, wal_bytes // 4 // PAGE_BYTES)}")
        db.execute(f"PRAGMA journal_size_limit={wal_bytes}")
        db.execute(f"PRAGMA max_page_count={(max_bytes - wal_bytes) // PAGE_BYTES}")
    except (sqlite3.Error, OSError) as error:
        raise StoreUnusable(f"{path}: {error}; choose another with --data, or move this one away") from error
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads. Raises sqlite3.Error."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=2.0)
    db.execute("PRAGMA cache_size=-8192")
    db.execute("PRAGMA query_only=1")
    return db


def wal_allowance(max_bytes: int) -> int:
    """How much of the bound the write-ahead log may take: a quarter of it between checkpoints, the rest for the
    pages that one transaction touches."""
    return min(64 << 20, max_bytes // 4)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if empty:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.executescript(
            f"BEGIN; {_TABLES} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise StoreUnusable(f"{path} is an SQLite file of something else: choose another with --data")
    elif version != VERSION:
        raise StoreUnusable(
            f"{path} was made by another version (format {version}, this one reads {VERSION}): "
            "choose another with --data, or delete it"
        )
