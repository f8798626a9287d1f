"""What is said of a file or database that fails: what happened, and not a guess."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import storage
from relay.errors import StorageError
from relay.kme.keystore import SqliteKeyStore
from relay.storage import DAMAGED, FAILING, FORBIDDEN, FULL, OPENED, why


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as db:
        yield db


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, FULL),
        (errno.EACCES, FORBIDDEN),
        (errno.EROFS, FORBIDDEN),
        (errno.EIO, FAILING),
        (errno.ENOTDIR, "Not a directory"),
    ],
)
def test_an_error_of_the_system_says_what_it_is(number: int, said: str) -> None:
    assert why(OSError(number, os.strerror(number)), Path("/")) == said


def test_a_database_that_is_locked_damaged_or_full_says_which(tmp_path: Path) -> None:
    file, junk = tmp_path / "db", tmp_path / "junk"
    with opened(file) as one, opened(file) as other:
        one.execute("CREATE TABLE t (x)")
        one.execute("BEGIN EXCLUSIVE")
        assert why(fault(other, "INSERT INTO t VALUES (1)"), file) == OPENED
        one.execute("ROLLBACK")
        one.execute("PRAGMA max_page_count = 2")
        assert why(fault(one, "INSERT INTO t VALUES (zeroblob(1000000))"), file) == FULL
        other.execute("PRAGMA query_only = ON")
        assert why(fault(other, "INSERT INTO t VALUES (1)"), file) == FORBIDDEN
        assert "no such table" in why(fault(one, "SELECT * FROM absent"), file)
    junk.write_bytes(b"not a database at all, but long enough to have a header" * 20)
    with opened(junk) as broken:
        assert why(fault(broken, "SELECT * FROM t"), junk) == DAMAGED


def test_an_input_error_on_a_full_disk_is_the_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = 19 << 8 | sqlite3.SQLITE_IOERR  # SQLITE_IOERR_SHMSIZE
    monkeypatch.setattr(storage, "_is_full", lambda path: True)
    assert why(error, Path("/")) == FULL
    monkeypatch.setattr(storage, "_is_full", lambda path: False)
    assert why(error, Path("/")) == FAILING


def test_a_key_store_in_a_directory_that_is_none_is_no_store_in_use(tmp_path: Path) -> None:
    (tmp_path / "keys.db").mkdir()
    with pytest.raises(StorageError, match="cannot open the key store") as refused:
        SqliteKeyStore(tmp_path / "keys.db", bytes(32))
    assert FORBIDDEN in str(refused.value)


def fault(db: sqlite3.Connection, statement: str) -> sqlite3.Error:
    """What SQLite raises."""
    with pytest.raises(sqlite3.Error) as raised:
        db.execute(statement)
    return raised.value
