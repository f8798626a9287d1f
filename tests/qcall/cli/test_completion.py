"""Shell completion offers contacts, from the address book and from the pins, and no fault."""

from __future__ import annotations

import os
import subprocess

from qcall.records.addressbook import AddressBook
from qcall.records.vcard import Entry
from scripts.demonstration.stage import BIN


def completed(home, *words):
    """What a shell is told for the last word."""
    line = " ".join(("qcall", "--home", str(home.directory), *words))
    number = str(len(line.split(" ")) - 1)
    told = {"_QCALL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": number}
    program = subprocess.run([BIN / "qcall"], env={**os.environ, **told}, capture_output=True, text=True)
    assert program.stderr == ""
    return program.stdout.split()


def test_contacts_of_both_kinds_are_offered(home, records):
    records.pin("bob", b"f" * 48)
    AddressBook(home.address_book).save(Entry("bobby"), Entry("carol"))
    assert completed(home, "call", "b") == ["bob", "bobby"]
    assert completed(home, "control", "dial", "c") == ["carol"]


def test_a_home_that_cannot_be_read_offers_nobody(home):
    home.records.write_text("no database")
    assert completed(home, "call", "b") == []


def test_switches_are_offered(home):
    assert completed(home, "control", "mute", "o") == ["on", "off"]
