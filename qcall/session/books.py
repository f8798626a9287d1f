"""The books of a phone: whom it knows, how far it trusts them, which calls there were.

They need neither a call nor a relay; the desk hands on what concerns only them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qcall.agreement.peer import judge
from qcall.crypto.identity import Fingerprint
from qcall.errors import StorageError, UsageError
from qcall.records.addressbook import AddressBook, read
from qcall.records.store import CallRecord, Contact, Records
from qcall.records.vcard import Entry

from . import commands
from .snapshot import Person, Presence, Trust


class Books:
    """The address book, and the records of everybody met and of every call."""

    def __init__(self, book: AddressBook, records: Records) -> None:
        self._book = book
        self._records = records

    def people(self, seen: Iterable[Person]) -> tuple[Person, ...]:
        """Everybody written or met, by name; the presence of those who were ``seen`` stays."""
        met = {contact.name: contact for contact in self._records.contacts()}
        written = {entry.name: entry for entry in self._book.entries}
        presence = {person.name: person.presence for person in seen}
        return tuple(
            person(name, met.get(name), written.get(name), presence.get(name, Presence.UNKNOWN))
            for name in sorted(met.keys() | written.keys())
        )

    def run(self, command: commands.Any) -> Any:
        """Carry out ``command``; the answer is plain data. Raises ``QcallError``."""
        match command:
            case commands.Verify(contact, same):
                if not self._records.set_verified(contact, same):
                    raise UsageError(
                        f"there has been no call with {contact} yet; call, then compare the words"
                    )
                return {"contact": contact, "verified": same}
            case commands.Accept(contact):
                accepted = self._records.accept_offered(contact)
                if accepted is None:
                    raise UsageError(f"no new identity of {contact} waits; see: qcall contacts")
                return {"contact": contact, "fingerprint": str(Fingerprint(accepted.fingerprint))}
            case commands.History(limit, contact):
                calls = self._records.calls_with(contact) if contact else self._records.calls(limit)
                return [as_json(call) for call in calls[:limit]]
        return self._write(command)

    def _write(self, command: commands.Any) -> Any:
        match command:
            case commands.Save(name, shown, note):
                self._book.save(Entry(name, shown, note))
                return {"saved": name}
            case commands.Remove(name):
                if not self._book.remove(name):
                    raise UsageError(f"{name} is not in the address book")
                return {"removed": name}
            case commands.Import(file):
                entries = read(commands.located(file)).entries
                self._book.save(*entries)
                return {"imported": len(entries)}
            case commands.Export(file):
                return {"exported": self._book.export(commands.located(file)), "file": file}
        raise UsageError(f"the books know no {type(command).__name__.lower()}")


def person(name: str, met: Contact | None, written: Entry | None, presence: Presence) -> Person:
    """Somebody, out of what the records and the address book say."""
    trust, fingerprint, offered = Trust.NEW, "", ""
    if met is not None:
        own = Fingerprint(met.fingerprint)
        trust, fingerprint = Trust[judge(met, own).name], str(own)
        if met.offered is not None:
            trust, offered = Trust.CHANGED, str(Fingerprint(met.offered))
    shown, note = ("", "") if written is None else (written.shown, written.note)
    return Person(name, shown, presence, trust, fingerprint, offered, note)


def as_json(call: CallRecord) -> dict[str, Any]:
    """A call of the history as plain data; times are unix seconds."""
    security = dict(call.security)
    quality, talked = security.pop("quality", {}), security.pop("talked", 0.0)
    return {
        "call_id": call.call_id.hex(),
        "contact": call.contact,
        "direction": "outgoing" if call.outgoing else "incoming",
        "began_at": round(call.began_at, 3),
        "ended_at": round(call.ended_at, 3),
        "seconds": talked,
        "reason": call.reason,
        "security": {name: value for name, value in security.items() if name != "receipt"},
        "quality": quality,
    }


def write_calls(file: Path, calls: Sequence[Mapping[str, Any]]) -> str:
    """Write ``calls``, as ``as_json`` has them, into a new ``file`` of mode 0600, one a line; what to say.

    Raises ``StorageError``; a file that is there already stays as it is, and half a one does not stay.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.writelines(json.dumps(call) + "\n" for call in calls)
        except OSError:
            file.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"cannot write {file}: {reason}; give a new file") from None
    return f"{counted(len(calls), 'call')} written to {file}"


def counted(number: int, what: str) -> str:
    """1 call, 2 calls."""
    return f"{number} {what}{'' if number == 1 else 's'}"
