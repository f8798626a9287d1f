"""Shell completion offers what may stand in a place, says nothing of faults, and loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qcall.records.addressbook import AddressBook
from qcall.records.store import CallRecord, Records
from qcall.records.vcard import Entry
from scripts.demonstration.stage import BIN

HEAVY = {"aiortc", "aiohttp", "av", "cryptography", "numpy", "rich", "textual"}
"""Libraries that a command line can be described without."""


def offered(program, *words, home=None, **environment):
    """What a shell is told for the last word."""
    line = " ".join((program, *(("--home", str(home)) if home else ()), *words))
    number = str(len(line.split(" ")) - 1)
    told = {f"_{program.upper()}_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": number}
    done = subprocess.run(
        [BIN / program], env={**os.environ, **environment, **told}, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def completed(home, *words, **environment):
    return offered("qcall", *words, home=home.directory, **environment)


def test_contacts_of_both_kinds_are_offered(home, records):
    records.pin("bob", b"f" * 48)
    AddressBook(home.address_book).save(Entry("bobby"), Entry("carol"))
    assert completed(home, "call", "b") == ["bob", "bobby"]
    assert completed(home, "control", "dial", "c") == ["carol"]
    assert completed(home, "contacts", "edit", "b") == ["bobby"]


def test_a_home_whose_phone_does_not_run_stays_as_it_is(home):
    records = Records(home.records)
    records.pin("bob", b"f" * 48)
    records.close()
    before = sorted(home.directory.iterdir())
    assert completed(home, "call", "b") == ["bob"]
    assert sorted(home.directory.iterdir()) == before


def test_a_home_with_a_tilde_is_found(home, records):
    records.pin("bob", b"f" * 48)
    line = ("--home", f"~/{home.directory.name}", "call", "b")
    assert offered("qcall", *line, HOME=str(home.directory.parent)) == ["bob"]


def test_only_a_contact_whose_identity_changed_is_offered_to_be_accepted(home, records):
    records.pin("bob", b"f" * 48)
    records.pin("bella", b"f" * 48)
    records.offer("bella", b"g" * 48)
    assert completed(home, "contacts", "accept-new-key", "b") == ["bella"]


def test_calls_are_offered_by_the_digits_that_the_list_shows_newest_first(home, records):
    for number, call_id in enumerate((b"\xab" * 16, b"\xac" * 16, b"", b"\xde" * 16)):
        records.add_call(CallRecord(call_id, "bob", True, float(number), 9.0, "hangup", {}))
    assert completed(home, "history", "--receipt", "a") == ["acacacac", "abababab"]
    assert completed(home, "history", "--receipt", "abababab") == ["abababab"]


def test_a_home_that_cannot_be_read_offers_nobody_and_stays_as_it_is(home):
    home.records.unlink()
    assert completed(home, "call", "b") == []
    assert not home.records.exists()
    home.records.write_text("no database")
    home.address_book.write_bytes(b"\xff")
    assert completed(home, "call", "b") == []
    assert completed(home, "history", "--receipt", "a") == []


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (("control", "mute", "o"), ["on", "off"]),
        (("control", "presence", "o"), ["on", "off"]),
        (("control", "policy", "p"), ["prefer"]),
        (("control", "device", "m"), ["microphone"]),
        (("call", "--suite", "Q5"), ["Q5+", "Q5"]),
        (("contacts", "e"), ["edit", "export"]),
    ],
)
def test_choices_are_offered(home, words, offers):
    assert completed(home, *words) == offers


@pytest.mark.parametrize(("program", "light"), [("qcall", {"asyncio", "sqlite3"}), ("relay", set())])
def test_a_command_line_is_described_without_what_does_the_work(program, light):
    look = f"import sys; from {program}.cli import commands; commands(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) & (HEAVY | light) == set()
