"""The user's address book: a vCard file in the phone's home, which other programs can read as well.

It says what people are called and is trusted with nothing: identities are pinned in the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qcall.config import write_private
from qcall.errors import StorageError, UsageError
from qcall.wire.signalling import NAME

from .vcard import Entry, dump, load

LARGEST = 1 << 20
"""Bytes of a vCard file that is read."""


class AddressBook:
    """The entries of ``file``, by call name; a file that does not exist is an empty book."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def _entries(self) -> dict[str, Entry]:
        """Read anew each time: another program may have written meanwhile."""
        return {entry.name: entry for entry in read(self._file)} if self._file.exists() else {}

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
        """Write everyone into ``file``; how many that are. Raises ``StorageError``.

        A file that is there is replaced if it holds vCards, such as an earlier export.
        """
        if file.is_file():
            try:
                read(file)
            except StorageError:
                raise StorageError(
                    f"{file} is there already and is no address book; give another file"
                ) from None
        everyone = self.entries
        try:
            file.write_text(dump(everyone))
        except OSError as error:
            raise StorageError(f"cannot write {file}: {error.strerror}; give another file") from None
        return len(everyone)

    def _write(self, entries: dict[str, Entry]) -> None:
        write_private(self._file, dump(sorted(entries.values())).encode())


def read(file: Path) -> list[Entry]:
    """The entries of a vCard file. Raises ``StorageError`` when it is none or cannot be read."""
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}; give a vCard file (.vcf)") from None
    if len(data) > LARGEST:
        raise StorageError(f"{file} is too large for an address book; give a vCard file of at most 1 MB")
    try:
        return load(data.decode())
    except ValueError as error:
        raise StorageError(f"{file} cannot be used: {error}; give a vCard file (.vcf)") from None
