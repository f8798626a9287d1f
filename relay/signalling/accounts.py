"""Who is enrolled, and the invites that let others enrol: one SQLite database of mode 0600.

An invite is kept as a digest of its secret and its name; it works once, for that name, until it expires.
Whatever is wrong with an invite, a stranger learns one thing: it is not valid for this name. Only the holder
of a valid invite is told that the name has been taken. Enrolling again with the same invite and the same keys
changes nothing and succeeds, so an answer that got lost on its way leaves nobody outside.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from qcall.wire.invite import SECRET_LENGTH, BadInvite, Invite
from qcall.wire.signalling import NAME, Code
from relay.errors import Refused, StorageError, UsageError
from relay.storage import why

from .identity import PublicKeys

T = TypeVar("T")

INVITE_LIFETIME = 7 * 86_400.0
"""Seconds."""
INVALID_INVITE = (
    "this invite is not valid, or is for another name; check both, or ask the relay's operator for a new one"
)
"""One text for wrong, used, expired and somebody else's: a guess teaches nothing."""

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY, site TEXT NOT NULL, ed25519 BLOB NOT NULL, mldsa BLOB NOT NULL,
    enrolled_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invites (
    digest BLOB PRIMARY KEY, site TEXT NOT NULL, expires REAL NOT NULL, used_by BLOB
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True, slots=True)
class Account:
    """An enrolled user."""

    name: str
    site: str
    keys: PublicKeys


class Accounts:
    """The open database; ``relay serve`` and ``relay invite`` may have it open at the same time.

    ``fingerprint`` is the SHA-256 of the authority's SubjectPublicKeyInfo, whose beginning every invite
    carries. Every method raises ``StorageError`` when the database cannot be used.
    """

    def __init__(self, path: Path, fingerprint: bytes) -> None:
        self.fingerprint = fingerprint
        self._path = path
        try:
            # Made here, so that others can never read it; SQLite gives its journals the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"cannot open {path}: {why(error, path)}") from None
        try:
            self._set_up()
        except BaseException:
            self._db.close()
            raise

    def _set_up(self) -> None:
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = FULL")
        (version,) = self._execute("PRAGMA user_version").fetchone()
        if version == 0:
            with self._faults():
                self._db.executescript(_SCHEMA)
        elif version != _VERSION:
            raise StorageError(f"{self._path} is of version {version}; use the relay that wrote it")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def find(self, name: str) -> Account | None:
        """The account called ``name``."""
        row = self._execute("SELECT site, ed25519, mldsa FROM users WHERE name = ?", name).fetchone()
        return Account(name, row[0], PublicKeys(row[1], row[2])) if row else None

    def names(self) -> list[tuple[str, str]]:
        """(name, site) of everyone enrolled."""
        return self._execute("SELECT name, site FROM users ORDER BY name").fetchall()

    def invite(
        self, name: str, site: str, now_unix: float, *, lifetime: float = INVITE_LIFETIME, renew: bool = False
    ) -> str:
        """A code that lets ``name`` enrol at ``site`` within ``lifetime`` seconds.

        Raises ``UsageError`` for a name that is taken, unless ``renew``: then the account, and with it the
        keys of a phone that was lost, is removed at once.
        """
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a user name; use up to 32 of a-z, 0-9, '.', '_', '-'")
        invite = Invite.create(secrets.token_bytes(SECRET_LENGTH), self.fingerprint)
        with self._transaction():
            if renew:
                self._execute("DELETE FROM users WHERE name = ?", name)
            elif self.find(name) is not None:
                raise UsageError(
                    f"{name} is enrolled already; choose another name, or --renew for a new phone"
                )
            self._execute("DELETE FROM invites WHERE expires <= ?", now_unix)
            row = (invite.digest(name), site, now_unix + lifetime)
            self._execute("INSERT INTO invites VALUES (?, ?, ?, NULL)", *row)
        return str(invite)

    def remove(self, name: str) -> bool:
        """Let ``name`` log in no more; whether anybody was enrolled under it."""
        return self._execute("DELETE FROM users WHERE name = ?", name).rowcount > 0

    def enrol(
        self, code: str, name: str, keys: PublicKeys, now_unix: float, *, certify: Callable[[str], T]
    ) -> tuple[Account, T]:
        """Use the invite up: the account, and what ``certify(site)`` made. If that raises, nothing happened.

        Raises ``Refused`` with the code ``invite`` or ``name-taken``.
        """
        try:
            digest = Invite.parse(code).digest(name)
        except BadInvite:
            raise _invalid() from None
        with self._transaction():
            site, used = self._admit(digest, name, keys, now_unix)
            if not used:
                self._execute("UPDATE invites SET used_by = ? WHERE digest = ?", keys.ed25519, digest)
                row = (name, site, keys.ed25519, keys.mldsa, now_unix)
                self._execute("INSERT INTO users VALUES (?, ?, ?, ?, ?)", *row)
            return Account(name, site, keys), certify(site)

    def _admit(self, digest: bytes, name: str, keys: PublicKeys, now_unix: float) -> tuple[str, bool]:
        """The site of a valid invite, and whether these very keys have used it before."""
        query = "SELECT site, used_by FROM invites WHERE digest = ? AND expires > ?"
        row = self._execute(query, digest, now_unix).fetchone()
        if row is None:
            raise _invalid()
        site, used_by = row
        account = self.find(name)
        if used_by is None:
            if account is not None:
                raise Refused(f"{name} is taken; ask the relay's operator for another", code=Code.NAME_TAKEN)
            return site, False
        if account is None or account.keys != keys or account.keys.ed25519 != used_by:
            raise _invalid()
        return site, True

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        with self._faults():
            return self._db.execute(statement, values)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"cannot use {self._path}: {why(error, self._path)}") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Everything inside, or nothing; other processes wait."""
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.rollback()


def _invalid() -> Refused:
    return Refused(INVALID_INVITE, code=Code.INVITE)
