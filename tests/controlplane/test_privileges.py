"""From root to an ordinary user. In processes of their own: there is no way back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

SCRIPT = """
import json, os, sys
from pathlib import Path
from controlplane.privileges import CannotDrop, drop_root
uid, host, store, before = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
if before:
    os.setgroups([]); os.setgid(int(before)); os.setuid(int(before))
try:
    drop_root(uid, host, store)
except CannotDrop as error:
    print(json.dumps({"error": str(error)})); sys.exit(1)
try:
    os.setuid(0); back = True
except PermissionError:
    back = False
store.write_text("x")
print(json.dumps({"uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(), "back": back}))
"""


def drop(store: Path, uid: int = 1337, host: str = "", before: str = "") -> dict:
    command = [sys.executable, "-c", SCRIPT, str(uid), host, str(store), before]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where another user may go: pytest's own folders are for their owner alone."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    return tmp_path


@needs_root
def test_it_is_for_good_and_with_the_sockets_group(folder):
    listening = socket.socket(socket.AF_UNIX)
    path = folder / "docker.sock"
    listening.bind(str(path))
    os.chown(path, 0, 4242)
    state = folder / "state"
    state.mkdir()
    (state / "store.db-wal").touch()
    (state / "other").touch()
    said = drop(state / "store.db", host=f"unix://{path}")
    listening.close()
    assert said == {"uids": [1337] * 3, "gids": [1337] * 3, "groups": [1337, 4242], "back": False}
    assert {p.name: p.stat().st_uid for p in state.iterdir()} == {"store.db": 1337, "store.db-wal": 1337, "other": 0}


@needs_root
def test_without_a_socket_file_there_is_no_group_to_join(folder):
    assert drop(folder / "state" / "store.db", host="tcp://127.0.0.1:1")["groups"] == [1337]


@needs_root
def test_a_socket_that_is_not_there_stops_it(folder):
    error = drop(folder / "store.db", host="unix:///nowhere/docker.sock")["error"]
    assert "/nowhere/docker.sock: No such file or directory" in error and "--docker-host" in error


@needs_root
def test_another_user_cannot_become_one(folder):
    assert drop(folder / "store.db", before="1234")["error"].startswith("--user 1337: this process is user 1234")


def test_the_same_user_has_nothing_to_do(tmp_path):
    from controlplane.privileges import drop_root

    drop_root(os.geteuid(), "unix:///nowhere", tmp_path / "none" / "store.db")
    assert not (tmp_path / "none").exists()
