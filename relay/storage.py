"""Files, written whole and by one process at a time; what went wrong with one or a database, in words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

FULL = "the disk is full; make room on it"
FORBIDDEN = "it may not be written; look who owns it, and whether its disk is read-only"
OPENED = "another program has it open; stop that one first"
DAMAGED = "it is damaged, or no database; move it away to start a new one"
FAILING = "the disk fails; the system's log says more"

_OF_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the owner's share of the disk is used up; make room on it",
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EROFS: FORBIDDEN,
    errno.EIO: FAILING,
}
_OF_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_PERM: FORBIDDEN,
    sqlite3.SQLITE_READONLY: FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: FORBIDDEN,
    sqlite3.SQLITE_BUSY: OPENED,
    sqlite3.SQLITE_LOCKED: OPENED,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_IOERR: FAILING,
}
"""By primary result code (https://sqlite.org/rescode.html)."""


def why(error: OSError | sqlite3.Error, path: Path) -> str:
    """What ``error`` says of the file at ``path``; what nobody foresaw in the words of the library."""
    if isinstance(error, OSError):
        return _OF_SYSTEM.get(error.errno or 0) or error.strerror or str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Where the log's index cannot grow, SQLite calls it an input/output error.
    if code == sqlite3.SQLITE_IOERR and _is_full(path):
        return FULL
    return _OF_SQLITE.get(code) or str(error)


def _is_full(path: Path) -> bool:
    try:
        there = os.statvfs(path)
    except OSError:
        return False
    return there.f_bavail * there.f_frsize < 1 << 16 or (there.f_files > 0 and there.f_favail == 0)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Only one process at a time; the kernel releases the lock when a process dies."""
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(path: Path, data: bytes) -> None:
    """Write ``data`` at mode 0600, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
