"""From root to an ordinary user, for good: root is needed only to join the group that owns Docker's socket."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


class CannotDrop(Exception):
    """The text says what stood in the way. Nobody goes on as root after it."""


def drop_root(uid: int, socket_host: str, store: Path) -> None:
    """Become `uid` with its own group and the socket's, the store's folder made writable for it. Raises CannotDrop.

    Started as that user already, there is nothing to do. Must come before anything listens or starts a thread.
    """
    if os.geteuid() == uid:
        return
    if os.geteuid() != 0:
        raise CannotDrop(f"--user {uid}: this process is user {os.geteuid()}, and only root can become another one")
    gid = _group_of(uid)
    groups = sorted({gid, *_socket_groups(socket_host)})
    try:
        _hand_over(store, uid, gid)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise CannotDrop(
            f"--user {uid}: {error.strerror or error} ({error.filename or 'setgroups, setgid, setuid'}); the container "
            "needs the capabilities SETUID, SETGID and CHOWN, and a store that it may write"
        ) from error
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise CannotDrop(f"--user {uid}: the kernel did not take it: uids are {os.getresuid()}, gids {os.getresgid()}")


def _group_of(uid: int) -> int:
    """The user's own group; a user that nobody has entered anywhere has the one of its number."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _socket_groups(host: str) -> list[int]:
    if not host.startswith("unix://"):
        return []
    path = host.removeprefix("unix://")
    try:
        return [os.stat(path).st_gid]
    except OSError as error:
        raise CannotDrop(
            f"--user: {path}: {error.strerror}; its group has to be joined before root is given up: mount the Engine's "
            "socket there, or name another with --docker-host"
        ) from error


def _hand_over(store: Path, uid: int, gid: int) -> None:
    """The store, its journals and its folder; nothing else that may lie there."""
    store.parent.mkdir(parents=True, exist_ok=True)
    for path in (store.parent, *(store.with_name(store.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))):
        if path.exists() and (path.stat().st_uid, path.stat().st_gid) != (uid, gid):
            os.chown(path, uid, gid, follow_symlinks=False)
