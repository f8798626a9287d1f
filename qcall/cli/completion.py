"""What a shell offers in the place of a contact: everyone in the address book and everyone with a pin."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from qcall.config import Home, default_home
from qcall.errors import QcallError
from qcall.records.addressbook import AddressBook
from qcall.records.store import Records


def contacts(context: typer.Context, incomplete: str) -> list[str]:
    """Names that begin with ``incomplete``; a shell is told of no fault."""
    given = context.find_root().params.get("home")
    # A shell hands its words on as they stand, with their tildes.
    home = Home(Path(given).expanduser()) if given else Home(default_home(os.environ))
    if not home.records.exists():
        return []
    try:
        names = {entry.name for entry in AddressBook(home.address_book).entries}
        records = Records(home.records)
        try:
            names |= {contact.name for contact in records.contacts()}
        finally:
            records.close()
    except QcallError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))
