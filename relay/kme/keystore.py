"""Keys of one key node in SQLite: encrypted at rest, each delivered once, whatever crashes.

Each method is a savepoint, and :meth:`SqliteKeyStore.commit` ends the transaction around all of them; whoever
lets a key out of the process commits before (:mod:`relay.kme.commit`). The write-ahead log without a flush
per commit is safe against a killed process (the kernel has the pages) but a power cut may undo the last
commits, and an undone delivery could be repeated. So a store that wakes up on another boot of the machine
voids what it holds; end keys are soon relayed anew. Keys are sealed with AES-256-GCM under the node's own
key, bound to their ID and place in the database; deleted rows are overwritten.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.errors import StorageError
from relay.storage import why

from .keys import Assignment, EndKey, NotASlave, NotHeld, joined

SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (
    unit TEXT PRIMARY KEY, peer TEXT NOT NULL, owned INTEGER NOT NULL,
    sealed BLOB NOT NULL, origin BLOB NOT NULL, ready REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stock_by_peer ON stock (peer, owned, ready);
CREATE TABLE IF NOT EXISTS waiting (
    key_id TEXT PRIMARY KEY, master TEXT NOT NULL,
    sealed BLOB NOT NULL, origin BLOB NOT NULL, ready REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retrieval (
    key_id TEXT NOT NULL REFERENCES waiting ON DELETE CASCADE, slave TEXT NOT NULL,
    fetched INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (key_id, slave)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS boot (id TEXT NOT NULL);
"""
VERSION = 2
NONCE_BYTES = 12
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Origin(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How a key came here."""

    paths: tuple[tuple[str, ...], ...]
    qber: tuple[float, ...]
    age: tuple[float, ...]


class SqliteKeyStore:
    """A :class:`~relay.kme.keys.KeyStore` in one file that one process has open at a time."""

    def __init__(self, path: Path, node_key: bytes, *, boot_id: str | None = None) -> None:
        self._aead = AESGCM(node_key)
        self._earliest = -math.inf
        self._waiting_of: Counter[str] = Counter()
        self._undone = False
        self._closed = False
        try:
            path.touch(mode=0o600, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot open the key store {path}: {why(error, path)}") from None
        self._path = path
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._open(path, _boot_id() if boot_id is None else boot_id)
        except sqlite3.Error as error:
            self._db.close()
            raise StorageError(f"cannot open the key store {path}: {why(error, path)}") from None
        except StorageError:
            self._db.close()
            raise

    def close(self) -> None:
        """Commit, and close the file. What is in it stays for the next start. A second time does nothing."""
        with contextlib.suppress(StorageError):
            self.commit()
        self._closed = True
        self._db.close()

    @property
    def pending(self) -> bool:
        return not self._closed and (self._undone or self._db.in_transaction)

    def commit(self) -> None:
        if self._closed:  # which has committed: an answer may still have been on its way
            return
        try:
            if self._undone:
                raise sqlite3.OperationalError("the transaction was undone")
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._undone = False
            self._count()
            raise self._unwritable(error) from None

    def add_stock(self, peer: str, keys: Sequence[EndKey], *, owned: bool, expires: float) -> None:
        self._earliest = min(self._earliest, expires)
        with self._change():
            self._db.executemany(
                "INSERT INTO stock VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        k.key_id,
                        peer,
                        owned,
                        self._seal("stock", k.key_id, k.key),
                        _origin(k),
                        k.ready_at,
                        expires,
                    )
                    for k in keys
                ],
            )

    def take_stock(self, peer: str, number: int, now: float) -> list[EndKey]:
        with self._change():
            rows = self._db.execute(
                "SELECT unit, sealed, origin, ready FROM stock WHERE peer = ? AND owned AND expires > ?"
                " ORDER BY ready LIMIT ?",
                (peer, now, number),
            ).fetchall()
            self._db.executemany("DELETE FROM stock WHERE unit = ?", [row[:1] for row in rows])
        return [self._key("stock", *row) for row in rows]

    def count_stock(self, peer: str, now: float) -> int:
        found = self._read("SELECT count(*) FROM stock WHERE peer = ? AND owned AND expires > ?", (peer, now))
        return int(found[0][0])

    def clear_stock(self, peer: str) -> None:
        with self._change():
            self._db.execute("DELETE FROM stock WHERE peer = ? AND owned", (peer,))

    def void_stock(self, a: str, b: str) -> int:
        with self._change():
            rows = self._db.execute("SELECT unit, origin FROM stock WHERE owned").fetchall()
            crossed = [(unit,) for unit, origin in rows if _crosses(origin, {a, b})]
            self._db.executemany("DELETE FROM stock WHERE unit = ?", crossed)
        return len(crossed)

    def contents(self) -> list[EndKey]:
        found = []
        for table in ("stock", "waiting"):
            name = "unit" if table == "stock" else "key_id"
            rows = self._read(f"SELECT {name}, sealed, origin, ready FROM {table}", ())  # noqa: S608 - names of ours
            found += [self._key(table, *row) for row in rows]
        return found

    def assign(self, peer: str, keys: Sequence[Assignment], *, ready_at: float, expires: float) -> None:
        with self._change():
            for assignment in keys:
                units = [self._guest(peer, unit) for unit in assignment.units]
                key = joined(assignment.key_id, units, assignment.size)
                key = replace(key, ready_at=max(ready_at, key.ready_at))
                self._insert_waiting(key, assignment.master, assignment.slaves, expires)
        self._waiting_of.update(assignment.master for assignment in keys)

    def hold(self, key: EndKey, master: str, slaves: Sequence[str], *, expires: float) -> None:
        with self._change():
            self._insert_waiting(key, master, slaves, expires)
        self._waiting_of[master] += 1

    def deliver(self, master: str, slave: str, key_ids: Sequence[str], now: float) -> list[EndKey]:
        with self._change():
            rows = [self._waiting(master, key_id, now) for key_id in key_ids]
            gone = sum(self._fetch(key_id, slave) for key_id in key_ids)
        self._waiting_of[master] -= gone
        return [self._key("waiting", *row) for row in rows]

    def void_waiting(self, a: str, b: str) -> int:
        with self._change():
            rows = self._db.execute("SELECT key_id, master, origin FROM waiting").fetchall()
            gone = [(key_id, master) for key_id, master, origin in rows if _crosses(origin, {a, b})]
            self._db.executemany("DELETE FROM waiting WHERE key_id = ?", [row[:1] for row in gone])
        self._waiting_of.subtract(master for _, master in gone)
        return len(gone)

    def count_waiting(self, master: str, now: float) -> int:
        self.expire(now)
        return self._waiting_of[master]

    def expire(self, now: float) -> int:
        if now < self._earliest:  # asked several times a second, at every site
            return 0
        with self._change():
            gone = self._db.execute("DELETE FROM stock WHERE expires <= ?", (now,)).rowcount
            masters = self._db.execute(
                "DELETE FROM waiting WHERE expires <= ? RETURNING master", (now,)
            ).fetchall()
            self._earliest = self._next_expiry()
        self._waiting_of.subtract(master for (master,) in masters)
        return gone + len(masters)

    def _open(self, path: Path, boot_id: str) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise StorageError(f"{path} was written by another version ({version}); move it away")
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA user_version={VERSION}")
        with self._change():
            before = self._db.execute("SELECT id FROM boot").fetchone()
            if before != (boot_id,):
                for table in ("stock", "waiting", "boot"):
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - three names of ours
                self._db.execute("INSERT INTO boot VALUES (?)", (boot_id,))
        self.commit()
        self._count()

    def _count(self) -> None:
        """Count what is there: at the start, and when a failed commit has undone what was counted since."""
        self._earliest = self._next_expiry()
        self._waiting_of = Counter(
            dict(self._db.execute("SELECT master, count(*) FROM waiting GROUP BY master").fetchall())
        )

    def _next_expiry(self) -> float:
        """No later than the first key expires."""
        query = "SELECT min(expires) FROM (SELECT expires FROM stock UNION ALL SELECT expires FROM waiting)"
        found = self._db.execute(query).fetchone()[0]
        return math.inf if found is None else float(found)

    def _insert_waiting(self, key: EndKey, master: str, slaves: Sequence[str], expires: float) -> None:
        sealed = self._seal("waiting", key.key_id, key.key)
        self._earliest = min(self._earliest, expires)
        self._db.execute(
            "INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?)",
            (key.key_id, master, sealed, _origin(key), key.ready_at, expires),
        )
        self._db.executemany(
            "INSERT INTO retrieval (key_id, slave) VALUES (?, ?)", [(key.key_id, slave) for slave in slaves]
        )

    def _guest(self, peer: str, unit: str) -> EndKey:
        row = self._db.execute(
            "DELETE FROM stock WHERE unit = ? AND peer = ? AND NOT owned"
            " RETURNING unit, sealed, origin, ready",
            (unit, peer),
        ).fetchone()
        if row is None:
            raise NotHeld(f"end key {unit} of {peer} is not held here")
        return self._key("stock", *row)

    def _waiting(self, master: str, key_id: str, now: float) -> tuple[str, bytes, bytes, float]:
        row: tuple[str, bytes, bytes, float] | None = self._db.execute(
            "SELECT key_id, sealed, origin, ready FROM waiting"
            " WHERE key_id = ? AND master = ? AND expires > ?",
            (key_id, master, now),
        ).fetchone()
        if row is None:
            raise NotHeld(f"key {key_id} is not held here")
        return row

    def _fetch(self, key_id: str, slave: str) -> bool:
        """Note that ``slave`` has the key; whether it was the last one and the key is gone."""
        row = self._db.execute(
            "SELECT fetched FROM retrieval WHERE key_id = ? AND slave = ?", (key_id, slave)
        ).fetchone()
        if row is None:
            raise NotASlave(f"key {key_id} is not for this SAE")
        if row[0]:
            raise NotHeld(f"key {key_id} was fetched before")
        self._db.execute("UPDATE retrieval SET fetched = 1 WHERE key_id = ? AND slave = ?", (key_id, slave))
        gone = self._db.execute(
            "DELETE FROM waiting WHERE key_id = ?1"
            " AND NOT EXISTS (SELECT 1 FROM retrieval WHERE key_id = ?1 AND NOT fetched)",
            (key_id,),
        )
        return gone.rowcount == 1

    def _seal(self, table: str, key_id: str, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, key, f"{table} {key_id}".encode())

    def _key(self, table: str, key_id: str, sealed: bytes, origin: bytes, ready: float) -> EndKey:
        try:
            key = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], f"{table} {key_id}".encode())
            came = msgspec.msgpack.decode(origin, type=_Origin)
        except (InvalidTag, msgspec.DecodeError):
            raise StorageError("the key store does not match its node key; move it away") from None
        return EndKey(key_id, key, came.paths, came.qber, came.age, ready)

    def _read(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"the key store cannot be read: {why(error, self._path)}") from None

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """A change that is part of the transaction under way, and undone alone when anything is raised."""
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("SAVEPOINT change")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK TO change")
                    self._db.execute("RELEASE change")
                else:  # a fault of the disk undoes all that waits for the commit, which has to know
                    self._undone = True
                raise
            self._db.execute("RELEASE change")
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: sqlite3.Error) -> StorageError:
        return StorageError(f"the key store cannot be written: {why(error, self._path)}")


def _origin(key: EndKey) -> bytes:
    return msgspec.msgpack.encode(_Origin(key.paths, key.qber, key.age))


def _crosses(origin: bytes, link: set[str]) -> bool:
    """Whether a key's path has a hop between the two nodes of ``link``."""
    paths = msgspec.msgpack.decode(origin, type=_Origin).paths
    return any({a, b} == link for path in paths for a, b in pairwise(path))


def _boot_id() -> str:
    """What tells one boot of this machine from another; without it, every start counts as a new boot."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return os.urandom(16).hex()
