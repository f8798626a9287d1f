"""The phone's memory, in one SQLite file of mode 0600.

Contacts with the identity that was pinned at first contact, whether its words were compared, and the highest
protection ever seen; every call; and every call_id and key_ID that was ever consumed, so that nothing can be
replayed to a phone that has been restarted (PROTOCOL: "Consumed call_ids and key_IDs survive a restart").

Consumed IDs survive the end of the program, however it ends, and are not waited for until they are on the
disk itself: that wait would be on the way of every call, and a power cut gives a replay nothing. An M1 older
than five minutes is refused by its time, an M3 that was recorded does not open under fresh shares, and a key
node delivers a key once. Pins, verifications and the history are on the disk when the method returns.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from qcall.agreement.suites import rank
from qcall.crypto.kdf import HASH_LENGTH
from qcall.errors import StorageError

SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE contact (
    name            TEXT PRIMARY KEY,
    fingerprint     BLOB NOT NULL,               -- H(identity), 48 bytes: the pin
    offered         BLOB,                        -- the last other fingerprint that claimed this name
    verified        INTEGER NOT NULL DEFAULT 0,  -- the words were compared by both users
    doubted         INTEGER NOT NULL DEFAULT 0,  -- they differed, and were not the same since
    qkd_seen        INTEGER NOT NULL DEFAULT 0,  -- a call with quantum keys has succeeded
    suite_seen      TEXT,                        -- the strongest suite of any call that succeeded
    pinned_at       REAL NOT NULL                -- unix seconds
) STRICT;
CREATE TABLE call (
    id              INTEGER PRIMARY KEY,
    call_id         BLOB NOT NULL,               -- empty when the phones never agreed on one
    contact         TEXT NOT NULL,
    outgoing        INTEGER NOT NULL,
    began_at        REAL NOT NULL,
    ended_at        REAL NOT NULL,
    reason          TEXT NOT NULL,
    security        TEXT NOT NULL                -- JSON; never key bytes
) STRICT;
CREATE TABLE consumed (
    kind            TEXT NOT NULL,               -- 'call' or 'key'
    id              BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
"""
CALL_COLUMNS = "call_id, contact, outgoing, began_at, ended_at, reason, security"
MIGRATIONS = {
    # Version 1 kept calls by call_id, so that a refused call could take the place of a real one.
    1: (
        "ALTER TABLE call RENAME TO call_1",
        next(each for each in SCHEMA.split(";\n") if "TABLE call " in each),
        f"INSERT INTO call ({CALL_COLUMNS}) SELECT {CALL_COLUMNS} FROM call_1 ORDER BY began_at",  # noqa: S608
        "DROP TABLE call_1",
    ),
    # Version 2 forgot that the words had differed.
    2: ("ALTER TABLE contact ADD COLUMN doubted INTEGER NOT NULL DEFAULT 0",),
}
"""What leads from each older version of the schema to the next."""
FORGOTTEN = (
    "the records of this phone were gone and begin anew: it knows no contact's identity any more, nor what"
    " protection earlier calls had; compare the words of every call, or restore a backup: qcall import"
)
"""For the user of a phone that was set up and whose records are `Records.fresh`: enrolment makes them."""
LOOK = "check the disk and the file's owner"
RESTORE = "bring the phone back from a backup: qcall import"
WAIT = "another program is at them; try again when it is done"
ADVICE = {
    "SQLITE_BUSY": WAIT,
    "SQLITE_LOCKED": WAIT,
    "SQLITE_CORRUPT": RESTORE,
    "SQLITE_NOTADB": RESTORE,
}


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone this phone has talked to."""

    name: str
    fingerprint: bytes
    """The pinned identity: H over both public keys, 48 bytes."""
    offered: bytes | None
    """Another identity that claimed this name and was blocked; ``None`` when there was none."""
    verified: bool
    doubted: bool
    """The words of a call differed, and were not the same in a later one."""
    qkd_seen: bool
    """Whether a call with quantum keys has succeeded: going lower needs the user's word."""
    suite_seen: str | None
    """The strongest suite of any call that succeeded; no weaker one is taken without the user's word."""
    pinned_at: float


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that is over. Times are unix seconds."""

    call_id: bytes
    """Empty when the call was refused before there was one: what a stranger sent names no call."""
    contact: str
    outgoing: bool
    began_at: float
    ended_at: float
    reason: str
    security: Mapping[str, Any]


class Records:
    """An open records database. Every method is one transaction and raises ``StorageError``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults = _Faults(path)
        self._mode = ""
        self.fresh = False
        """Whether the file was not there, or held nothing, before it was opened."""
        with self._faults:
            # Made here and not by SQLite, so that it is never readable by others, not even for a moment.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        try:
            self._set_up()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def contact(self, name: str) -> Contact | None:
        """The contact called ``name``."""
        return next(iter(self._contacts("WHERE name = ?", (name,))), None)

    def contacts(self) -> Sequence[Contact]:
        """Every contact, by name."""
        return self._contacts("ORDER BY name", ())

    def pin(self, name: str, fingerprint: bytes) -> None:
        """Remember the identity behind ``name`` at first contact; an existing pin is never overwritten."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO contact (name, fingerprint, pinned_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (name, fingerprint, time.time()),
            )

    def offer(self, name: str, fingerprint: bytes) -> None:
        """Remember that another identity claimed ``name``; it is not trusted by that."""
        with self._transaction() as db:
            db.execute("UPDATE contact SET offered = ? WHERE name = ?", (fingerprint, name))

    def accept_offered(self, name: str) -> Contact | None:
        """Let the blocked identity take the place of the pinned one, unverified; ``None`` if none waits."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE contact SET fingerprint = offered, offered = NULL, verified = 0, doubted = 0,"
                " pinned_at = ? WHERE name = ? AND offered IS NOT NULL",
                (time.time(), name),
            ).rowcount
        return self.contact(name) if changed else None

    def set_verified(self, name: str, verified: bool) -> bool:
        """The words were compared, and were the same or not; false if there is no such contact."""
        with self._transaction() as db:
            statement = "UPDATE contact SET verified = ?, doubted = ? WHERE name = ?"
            return db.execute(statement, (verified, not verified, name)).rowcount > 0

    def saw(self, name: str, *, suite: str, qkd: bool) -> None:
        """A call under ``suite`` succeeded with ``name``; what was seen once stays seen.

        A call that was allowed to have less changes nothing: the next one needs the user's word again.
        """
        with self._transaction() as db:
            row = db.execute("SELECT suite_seen FROM contact WHERE name = ?", (name,)).fetchone()
            if row is not None:
                strongest = max(row[0], suite, key=rank)
                statement = "UPDATE contact SET suite_seen = ?, qkd_seen = max(qkd_seen, ?) WHERE name = ?"
                db.execute(statement, (strongest, qkd, name))

    def met_call(self, call_id: bytes) -> bool:
        """Whether a call_id was used up before."""
        with self._faults:
            statement = "SELECT 1 FROM consumed WHERE kind = 'call' AND id = ?"
            return self._db.execute(statement, (call_id,)).fetchone() is not None

    def consume_call(self, call_id: bytes, key_ids: Sequence[str] = ()) -> bool:
        """Use up a call_id and key_IDs, all or none; false if any was used before."""
        return self._consume([("call", call_id), *_keys(key_ids)])

    def consume_keys(self, key_ids: Sequence[str]) -> bool:
        """Use up key_IDs, all or none; false if any was used before."""
        return self._consume(_keys(key_ids))

    def add_call(self, call: CallRecord) -> None:
        """Store a call that is over."""
        with self._transaction() as db:
            db.execute(
                f"INSERT INTO call ({CALL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    call.call_id,
                    call.contact,
                    call.outgoing,
                    call.began_at,
                    call.ended_at,
                    call.reason,
                    msgspec.json.encode(call.security).decode(),
                ),
            )

    def calls(self, limit: int = 100) -> Sequence[CallRecord]:
        """The newest calls first."""
        return self._calls("ORDER BY began_at DESC LIMIT ?", limit)

    def calls_with(self, contact: str) -> Sequence[CallRecord]:
        """Every call with ``contact``, the newest first."""
        return self._calls("WHERE contact = ? ORDER BY began_at DESC", contact)

    def find_calls(self, prefix: str) -> Sequence[CallRecord]:
        """The calls whose call_id, in hexadecimal, begins with ``prefix``; newest first."""
        return self._calls("WHERE instr(hex(call_id), ?) = 1 ORDER BY began_at DESC", prefix.upper())

    def snapshot(self) -> bytes:
        """The whole database as it is now, as the bytes of a file. StorageError for one that is damaged."""
        with self._faults:
            if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise self._faults.told("they are damaged", RESTORE)
            return self._db.serialize()

    def _calls(self, clause: str, argument: int | str) -> list[CallRecord]:
        with self._faults:
            rows = self._db.execute(f"SELECT {CALL_COLUMNS} FROM call {clause}", (argument,)).fetchall()  # noqa: S608
            return [
                CallRecord(
                    call_id, contact, bool(outgoing), began, ended, reason, msgspec.json.decode(security)
                )
                for call_id, contact, outgoing, began, ended, reason, security in rows
            ]

    def _set_up(self) -> None:
        with self._faults:
            self._db.execute("PRAGMA journal_mode = WAL")
        with self._transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StorageError(f"{self._path} was written by another version of qcall; update qcall")
            self.fresh = version == 0
            statements = SCHEMA.split(";\n") if version == 0 else ()
            for older in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                statements = (*statements, *MIGRATIONS[older])
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _contacts(self, clause: str, arguments: tuple[str, ...]) -> list[Contact]:
        columns = "name, fingerprint, offered, verified, doubted, qkd_seen, suite_seen, pinned_at"
        with self._faults:
            rows = self._db.execute(f"SELECT {columns} FROM contact {clause}", arguments).fetchall()  # noqa: S608
            if any(len(each) != HASH_LENGTH for row in rows for each in row[1:3] if each is not None):
                raise self._faults.told("a fingerprint is damaged", RESTORE)
        return [
            Contact(
                name, fingerprint, offered, bool(verified), bool(doubted), bool(qkd_seen), suite, pinned_at
            )
            for name, fingerprint, offered, verified, doubted, qkd_seen, suite, pinned_at in rows
        ]

    def _consume(self, ids: Sequence[tuple[str, bytes]]) -> bool:
        if not ids:
            return True
        rows = ", ".join(["(?, ?)"] * len(ids))
        with self._faults:
            self._synchronous("NORMAL")
            try:
                # One statement is one transaction.
                self._db.execute(f"INSERT INTO consumed VALUES {rows}", [part for row in ids for part in row])  # noqa: S608
            except sqlite3.IntegrityError:
                return False
        return True

    def _synchronous(self, mode: str) -> None:
        """FULL: a commit is on the disk when it returns. NORMAL: it outlives this process at once."""
        if mode != self._mode:
            self._db.execute(f"PRAGMA synchronous = {mode}")
            self._mode = mode

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._faults:
            self._synchronous("FULL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _keys(key_ids: Sequence[str]) -> list[tuple[str, bytes]]:
    return [("key", key_id.encode()) for key_id in key_ids]


class _Faults:
    """Says in the phone's own words what SQLite and the file system raise; no generator, for speed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error | OSError) and not isinstance(error, sqlite3.IntegrityError):
            name = getattr(error, "sqlite_errorname", "")
            advice = next((what for code, what in ADVICE.items() if name.startswith(code)), LOOK)
            raise self.told(error, advice) from None
        if isinstance(error, msgspec.DecodeError):
            raise self.told(error, RESTORE) from None

    def told(self, what: object, advice: str) -> StorageError:
        """For the user."""
        return StorageError(f"the records in {self._path} cannot be used ({what}); {advice}")
