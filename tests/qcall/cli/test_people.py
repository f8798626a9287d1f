"""Contacts: who is known, what blocks, what it takes to accept, and what people compare."""

from __future__ import annotations

import json

import pytest
import segno

from qcall.cli.people import call_that_is_up
from qcall.crypto.identity import Fingerprint
from qcall.crypto.identity_file import load
from qcall.errors import UsageError
from qcall.records.store import CallRecord

OLD, NEW = Fingerprint(b"o" * 48), Fingerprint(b"n" * 48)
WORDS = ["aardvark", "adroitness", "absurd", "adviser"]


def talked(records, contact: str = "bob", fingerprint: Fingerprint = OLD, **security) -> None:
    records.pin(contact, fingerprint)
    known = {"words": WORDS, "fingerprint": str(fingerprint)} | security
    records.add_call(CallRecord(bytes(16), contact, True, 1.0, 2.0, "hangup", known))


def test_contacts_are_listed_by_default(qcall, records) -> None:
    records.pin("bob", OLD)
    said = qcall("contacts").output
    assert "bob" in said
    assert str(OLD) in said
    assert json.loads(qcall("contacts", "--json").output)["status"] == "pinned"


def test_a_changed_contact_shows_both_fingerprints_and_what_to_run(qcall, records) -> None:
    records.pin("bob", OLD)
    records.offer("bob", NEW)
    said = qcall("contacts").output
    assert str(OLD) in said
    assert str(NEW) in said
    assert "qcall contacts accept-new-key bob" in said


def test_accepting_is_a_command_of_its_own_and_leaves_the_contact_unverified(qcall, records) -> None:
    records.pin("bob", OLD)
    records.set_verified("bob", True)
    records.offer("bob", NEW)
    said = qcall("contacts", "accept-new-key", "bob").output
    assert str(OLD) in said
    assert str(NEW) in said
    known = records.contact("bob")
    assert (known.fingerprint, known.verified) == (NEW, False)


def test_nothing_to_accept_is_said(qcall, records) -> None:
    records.pin("bob", OLD)
    for name in ("bob", "nobody"):
        assert "no new identity" in qcall("contacts", "accept-new-key", name, code=2).stderr


def test_a_phone_shows_its_own_fingerprint_as_others_see_it(qcall, home) -> None:
    own = str(load(home.identity.read_bytes(), None).fingerprint)
    said = qcall("fingerprint").output
    assert f"fingerprint of alice: {own}" in said
    assert "█" in said


def test_verifying_shows_words_fingerprint_and_its_qr_code(qcall, records) -> None:
    talked(records)
    said = qcall("verify", "bob", "--same").output
    assert " ".join(WORDS) in said
    assert str(OLD) in said
    lines = [line for line in said.splitlines() if set(line) <= set(" █▀▄") and len(line) > 20]
    light = {"█": (0, 0), " ": (1, 1), "▀": (0, 1), "▄": (1, 0)}
    drawn = []
    for line in lines:
        halves = [light[each] for each in line]
        drawn += [bytes(upper for upper, _ in halves), bytes(lower for _, lower in halves)]
    expected = [bytes(row) for row in segno.make(str(OLD).upper(), error="m").matrix_iter(border=4)]
    assert drawn[: len(expected)] == expected
    assert records.contact("bob").verified


def test_saying_that_they_differ_takes_the_verification_back(qcall, records) -> None:
    talked(records)
    records.set_verified("bob", True)
    assert "NOT verified" in qcall("verify", "bob", "--different").output
    assert not records.contact("bob").verified
    assert "words-differ" in qcall("contacts").output
    assert "WARNING" in qcall("contacts").output
    qcall("verify", "bob", "--same")
    assert "WARNING" not in qcall("contacts").output


def test_words_of_another_identity_or_of_no_call_verify_nothing(qcall, records) -> None:
    assert "no call" in qcall("verify", "bob", "--same", code=2).stderr
    records.pin("carol", OLD)
    records.add_call(CallRecord(b"1" * 16, "carol", True, 1.0, 2.0, "declined", {"receipt": None}))
    assert "no call" in qcall("verify", "carol", "--same", code=2).stderr
    talked(records)
    records.offer("bob", NEW)
    records.accept_offered("bob")
    assert "another identity" in qcall("verify", "bob", "--same", code=2).stderr
    assert not records.contact("bob").verified


def test_a_call_that_is_up_has_its_own_words_or_none_yet() -> None:
    ended = {"contact": "bob", "state": "ended", "security": {"words": WORDS}}
    other = {"contact": "carol", "state": "talking", "security": {"words": WORDS}}
    assert call_that_is_up(None, "bob") is None
    assert call_that_is_up({"calls": [other, ended]}, "bob") is None
    assert call_that_is_up({"calls": [ended, {**ended, "state": "ringing"}]}, "bob") == {"words": WORDS}
    with pytest.raises(UsageError, match="no words yet"):
        call_that_is_up({"calls": [{**ended, "state": "dialling", "security": {}}]}, "bob")


def test_without_a_terminal_the_answer_is_an_option(qcall, records) -> None:
    talked(records)
    asked = qcall("verify", "bob", code=2)
    assert " ".join(WORDS) in asked.stdout
    assert "--same or --different" in asked.stderr
    assert not records.contact("bob").verified
