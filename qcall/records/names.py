"""What is named in the records of a phone, for a shell that completes words: read quickly, changed never."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from .vcard import load

MOST_CALLS = 50
"""The latest calls whose IDs are worth offering."""


def contacts(records: Path, address_book: Path) -> list[str]:
    """Everybody in the address book and everybody with a pin; nobody where nothing can be read."""
    pinned = {name for (name,) in _rows(records, "SELECT name FROM contact")}
    return sorted(pinned | _written(address_book))


def blocked(records: Path) -> list[str]:
    """Those whose identity changed, and waits for the user's word."""
    return [name for (name,) in _rows(records, "SELECT name FROM contact WHERE offered IS NOT NULL")]


def calls(records: Path) -> list[tuple[str, str]]:
    """The latest calls that have an ID, which is hexadecimal, and with whom they were."""
    statement = (
        "SELECT lower(hex(call_id)), contact FROM call WHERE call_id != x'' ORDER BY began_at DESC LIMIT ?"
    )
    return [(call_id, contact) for call_id, contact in _rows(records, statement, MOST_CALLS)]


def entries(address_book: Path) -> list[str]:
    """Everybody in the address book."""
    return sorted(_written(address_book))


def _written(address_book: Path) -> set[str]:
    try:
        return {entry.name for entry in load(address_book.read_text(encoding="utf-8"))}
    except (OSError, ValueError):
        return set()


def _rows(records: Path, statement: str, *arguments: int) -> list[tuple[str, ...]]:
    try:
        # What does not exist is not made, and a phone that writes meanwhile is not waited for. Without one
        # there is no write-ahead log, which even a reader would make.
        log = records.with_name(f"{records.name}-wal")
        how = "mode=ro" if log.exists() else "mode=ro&immutable=1"
        with closing(sqlite3.connect(f"{records.absolute().as_uri()}?{how}", uri=True, timeout=0)) as db:
            return list(db.execute(statement, arguments))
    except sqlite3.Error:
        return []
