"""The store: revisions, conflicts, and what the disk can do to it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.apiserver.storage import (
    AlreadyExists,
    Conflict,
    EventType,
    NotFound,
    Store,
    StoreError,
    StoreUnusable,
)
from lugsail.api.base import ResourceKey
from tests.controlplane.apiserver.samples import create, gateway, open_store, update, virtual_service

REVIEWS = ResourceKey("VirtualService", "default", "reviews")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store.db"


@pytest.fixture
def store(path: Path):
    opened = open_store(path)
    yield opened
    opened.close()


def test_create_fills_the_servers_metadata(store):
    stored = create(store, virtual_service(labels={"a": "b"}, resourceVersion="77", uid="mine"))
    assert stored.to_dict()["metadata"] == {
        "name": "reviews",
        "namespace": "default",
        "labels": {"a": "b"},
        "uid": "uid-1",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    assert store.revision == 1
    assert stored.resource.metadata.creation_timestamp == "2026-01-01T00:00:00Z"


def test_create_refuses_a_taken_name(store):
    create(store, virtual_service())
    with pytest.raises(AlreadyExists, match="VirtualService default/reviews"):
        create(store, virtual_service())
    assert store.revision == 1


def test_update_keeps_identity_and_counts_generations_of_the_spec(store):
    create(store, virtual_service())
    relabelled = update(store, virtual_service(labels={"a": "b"}))
    changed = update(store, virtual_service(subset="v2", labels={"a": "b"}))
    assert (relabelled.generation, changed.generation) == (1, 2)
    assert (relabelled.revision, changed.revision) == (2, 3)
    assert changed.uid == "uid-1"


def test_an_equal_update_changes_nothing(store):
    stored = create(store, virtual_service())
    events = []
    store.observe(events.append)
    assert update(store, stored.to_dict()) is stored
    assert store.revision == 1 and events == []


def test_update_checks_the_expected_revision(store):
    create(store, virtual_service())
    update(store, virtual_service(subset="v2"), expected=1)
    with pytest.raises(Conflict, match="resourceVersion 2, not 1"):
        update(store, virtual_service(subset="v3"), expected=1)
    assert store.get(REVIEWS).document["spec"]["http"][0]["route"][0]["destination"]["subset"] == "v2"


def test_update_and_delete_of_nothing(store):
    with pytest.raises(NotFound):
        update(store, virtual_service())
    with pytest.raises(NotFound):
        store.delete(REVIEWS)


def test_delete_is_a_revision_of_its_own(store):
    create(store, virtual_service())
    assert store.delete(REVIEWS).revision == 2
    assert store.get(REVIEWS) is None and store.revision == 2
    assert create(store, virtual_service()).revision == 3


def test_observers_see_every_change_in_order(store):
    events = []
    store.observe(events.append)
    create(store, virtual_service())
    update(store, virtual_service(subset="v2"))
    store.delete(REVIEWS)
    assert [(e.type, e.revision) for e in events] == [
        (EventType.ADDED, 1),
        (EventType.MODIFIED, 2),
        (EventType.DELETED, 3),
    ]
    assert events[1].before.revision == 1


def test_lists_are_ordered_and_selected(store):
    for document in (gateway("b"), gateway("a", "other"), gateway("a"), virtual_service()):
        create(store, document)
    assert [(s.key.namespace, s.key.name) for s in store.list("Gateway")] == [
        ("default", "a"),
        ("default", "b"),
        ("other", "a"),
    ]
    assert [s.key.name for s in store.list("Gateway", "other")] == ["a"]
    assert len(store.list()) == len(list(store.resources())) == 4


def test_everything_is_there_after_reopening(path):
    store = open_store(path)
    create(store, virtual_service())
    before = update(store, virtual_service(subset="v2"))
    create(store, gateway())
    store.delete(ResourceKey("Gateway", "default", "web"))
    store.bump()
    store.close()
    again = open_store(path)
    assert again.revision == 5
    assert again.get(REVIEWS) == before
    again.close()


_WRITER = """
import sys
from pathlib import Path
from tests.controlplane.apiserver.samples import *
store = open_store(Path(sys.argv[1]))
for n in range(10_000):
    create(store, gateway(f"g{n}"))
    print(n, flush=True)
"""


def test_what_was_answered_survives_kill_9(path):
    """A writer is killed in the middle; every write that it reported must be there."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    last = -1
    for line in writer.stdout:
        last = int(line)
        if last == 30:
            os.kill(writer.pid, signal.SIGKILL)
            break
    for line in writer.stdout:
        last = int(line)
    writer.wait(10)
    store = open_store(path)
    assert [s for s in range(last + 1) if store.get(ResourceKey("Gateway", "default", f"g{s}")) is None] == []
    assert store.revision >= last + 1
    store.close()


def test_a_copy_taken_while_running_is_whole(path, tmp_path):
    """What a crash leaves behind: the files as they are, without a checkpoint."""
    store = open_store(path)
    create(store, virtual_service())
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", tmp_path / f"copy.db{suffix}")
    copy = open_store(tmp_path / "copy.db")
    assert copy.get(REVIEWS) == store.get(REVIEWS)
    copy.close()
    store.close()


def fill(store: Store) -> None:
    """No page more may be taken: as good as a full disk, to SQLite."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_changes_nothing_and_says_so(store):
    create(store, virtual_service())
    fill(store)
    events = []
    store.observe(events.append)
    big = virtual_service("big", annotations={"note": "x" * 100_000})
    with pytest.raises(StoreError, match="full") as error:
        create(store, big)
    assert error.value.status == 507
    assert store.revision == 1 and [s.key for s in store.list()] == [REVIEWS] and events == []
    store._db.execute("PRAGMA max_page_count = 100000")
    assert create(store, big).revision == 2


def test_a_full_disk_does_not_stop_the_registry(store, monkeypatch):
    def refuse(_):
        raise sqlite3.OperationalError("database or disk is full")

    class Refusing:
        def execute(self, *_):
            refuse(_)

    database, store._db = store._db, Refusing()
    assert store.bump() == 1
    store._db = database


def test_an_unwritable_file_is_another_error(store):
    create(store, virtual_service())
    store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="cannot be written") as error:
        store.delete(REVIEWS)
    assert error.value.status == 500 and store.get(REVIEWS) is not None


def test_a_file_that_is_no_database_is_refused(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all, but long enough to have a header" * 100)
    with pytest.raises(StoreUnusable, match=r"store\.db.*not a database.*move it away"):
        open_store(path)
    assert path.read_bytes().startswith(b"no database")


def test_a_damaged_file_is_refused(path):
    store = open_store(path)
    for n in range(200):
        create(store, gateway(f"g{n}"))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 6] = b"\xff" * (4096 * 4)
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match="move it away"):
        open_store(path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(StoreUnusable, match="writable"):
        open_store(tmp_path)


def test_a_second_control_plane_is_refused(path, store):
    with pytest.raises(StoreUnusable, match="another control plane has it open"):
        open_store(path)


def test_a_newer_schema_is_refused(path):
    open_store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    db.close()
    with pytest.raises(StoreUnusable, match="newer Lugsail"):
        open_store(path)


def test_a_resource_that_cannot_be_read_any_more_is_left_out_and_kept(path, caplog):
    store = open_store(path)
    create(store, virtual_service())
    create(store, gateway())
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE resources SET data = replace(data, 'selector', 'selektor') WHERE kind = 'Gateway'")
    db.close()
    again = open_store(path)
    assert [s.key for s in again.list()] == [REVIEWS]
    assert "selektor" in again.unreadable[ResourceKey("Gateway", "default", "web")]
    assert "Gateway default/web cannot be read" in caplog.text
    again.close()
