"""The user's address book: a vCard file in the phone's home, which other programs can read as well.

It says what people are called and is trusted with nothing: identities are pinned in the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qcall.config import write_private
from qcall.errors import StorageError, UsageError
from qcall.wire.signalling import NAME

from .vcard import Entry, dump, load, number

LARGEST = 1 << 20
"""Bytes of a vCard file that is read."""


class AddressBook:
    """The entries of ``file``, by call name; a file that does not exist is an empty book."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def _entries(self) -> dict[str, Entry]:
        """Read anew each time: another program may have written meanwhile."""
        return {entry.name: entry for entry in read(self._file).entries} if self._file.exists() else {}

    @property
    def entries(self) -> Sequence[Entry]:
        """Everyone, by call name."""
        return sorted(self._entries.values())

    def find(self, text: str) -> Sequence[Entry]:
        """Everyone whose name, shown name or note has ``text`` in it, in any case."""
        wanted = text.casefold()
        return [
            entry
            for entry in self.entries
            if any(wanted in field.casefold() for field in (entry.name, entry.shown, entry.note))
        ]

    def save(self, *entries: Entry) -> None:
        """Add ``entries``, each in the place of one of its name. Raises ``UsageError``, ``StorageError``."""
        for entry in entries:
            if NAME.fullmatch(entry.name) is None:
                raise UsageError(
                    f"{entry.name!r} cannot be a name; use up to 32 of a-z, 0-9, '.', '_' and '-'"
                )
        self._write(self._entries | {entry.name: entry for entry in entries})

    def remove(self, name: str) -> bool:
        """Take ``name`` out; false when there is no such entry."""
        entries = self._entries
        if entries.pop(name, None) is None:
            return False
        self._write(entries)
        return True

    def export(self, file: Path) -> int:
        """Write everyone into ``file``, of mode 0600; how many that are. Raises ``StorageError``.

        A file that is there is replaced, whole or not at all, if it holds vCards, such as an earlier export.
        """
        if file.is_file():
            try:
                _cards(file)
            except _NoCards as fault:
                raise StorageError(f"{file} is there already and {fault}; give another file") from None
        everyone = self.entries
        _replace(file, dump(everyone).encode())
        return len(everyone)

    def _write(self, entries: dict[str, Entry]) -> None:
        data = dump(sorted(entries.values())).encode()
        if len(data) > LARGEST:
            raise StorageError("the address book would be larger than 1 MB; remove entries, or import fewer")
        write_private(self._file, data)


class Cards(NamedTuple):
    """What a vCard file holds."""

    entries: list[Entry]
    left_out: int
    """Cards without a call name."""


def read(file: Path) -> Cards:
    """What is in a vCard file, which is read once. Raises ``StorageError`` when it is none, or unreadable."""
    try:
        return _cards(file)
    except _NoCards as fault:
        raise StorageError(f"{file} {fault}; give a vCard file (.vcf) of at most 1 MB") from None


class _NoCards(Exception):
    """What is wrong with a file, as the rest of a sentence that begins with its name."""


def _cards(file: Path) -> Cards:
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise _NoCards(f"cannot be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise _NoCards("is too large for an address book")
    try:
        text = data.decode()
        entries = load(text)
    except ValueError as error:
        raise _NoCards(f"is no address book ({error})") from None
    return Cards(entries, number(text) - len(entries))


def _replace(file: Path, data: bytes) -> None:
    """Write ``data`` into ``file``: beside it first, and for a link where it leads; a pipe just takes it."""
    if not file.exists() or file.is_file():
        write_private(file.resolve(), data)
        return
    try:
        file.write_bytes(data)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}; give another file") from None
