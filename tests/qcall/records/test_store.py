"""What the phone remembers, and what it never forgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcall.errors import StorageError
from qcall.records.store import CallRecord, Records

OLD, NEW = b"o" * 48, b"n" * 48


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def records(path: Path) -> Iterator[Records]:
    opened = Records(path)
    yield opened
    opened.close()


def reopened(records: Records, path: Path) -> Records:
    records.close()
    return Records(path)


def test_the_file_is_for_its_owner_only(records: Records, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_pin_is_never_overwritten(records: Records) -> None:
    records.pin("bob", OLD)
    records.pin("bob", NEW)
    contact = records.contact("bob")
    assert contact is not None
    assert contact.fingerprint == OLD


def test_verification_survives_a_restart(records: Records, path: Path) -> None:
    records.pin("bob", OLD)
    assert records.set_verified("bob", True)
    again = reopened(records, path)
    assert [contact.verified for contact in again.contacts()] == [True]
    again.close()


def test_words_that_differed_stay_remembered_until_they_were_the_same(records: Records, path: Path) -> None:
    records.pin("bob", OLD)
    records.set_verified("bob", False)
    again = reopened(records, path)
    assert [(each.verified, each.doubted) for each in again.contacts()] == [(False, True)]
    again.set_verified("bob", True)
    assert [(each.verified, each.doubted) for each in again.contacts()] == [(True, False)]
    again.close()


def test_a_blocked_identity_takes_over_only_when_accepted_and_is_then_unverified(records: Records) -> None:
    records.pin("bob", OLD)
    records.set_verified("bob", True)
    records.offer("bob", NEW)
    before = records.contact("bob")
    assert before is not None
    assert (before.fingerprint, before.verified) == (OLD, True)
    after = records.accept_offered("bob")
    assert after is not None
    assert (after.fingerprint, after.offered, after.verified) == (NEW, None, False)


def test_nothing_to_accept_is_no_change(records: Records) -> None:
    records.pin("bob", OLD)
    assert records.accept_offered("bob") is None
    assert records.accept_offered("nobody") is None


def test_protection_seen_is_remembered(records: Records) -> None:
    records.pin("bob", OLD)
    records.saw("bob", suite="Q3", qkd=True)
    records.saw("bob", suite="Q5", qkd=False)
    assert [(contact.qkd_seen, contact.suite_seen) for contact in records.contacts()] == [(True, "Q5")]


def test_a_weaker_call_that_was_allowed_does_not_lower_what_was_seen(records: Records) -> None:
    records.pin("bob", OLD)
    records.saw("bob", suite="Q5", qkd=True)
    records.saw("bob", suite="Q3", qkd=False)
    assert [(contact.qkd_seen, contact.suite_seen) for contact in records.contacts()] == [(True, "Q5")]


def test_calls_are_found_by_contact_and_by_the_beginning_of_their_id(records: Records) -> None:
    for n, contact in enumerate(("bob", "carol", "bob")):
        records.add_call(CallRecord(bytes([n]) * 16, contact, True, float(n), n + 1.0, "hangup", {}))
    assert [call.began_at for call in records.calls_with("bob")] == [2.0, 0.0]
    assert [call.contact for call in records.find_calls("0101")] == ["carol"]
    assert len(records.find_calls("0")) == 3
    assert records.find_calls("%") == records.find_calls("f") == []


def test_a_call_id_is_consumed_once_even_across_a_restart(records: Records, path: Path) -> None:
    assert records.consume_call(b"1" * 16)
    again = reopened(records, path)
    assert not again.consume_call(b"1" * 16)
    assert again.consume_call(b"2" * 16)
    again.close()


def test_key_ids_are_consumed_all_or_none(records: Records) -> None:
    assert records.consume_keys(["a", "b"])
    assert not records.consume_keys(["c", "b"])
    assert records.consume_keys(["c"])


def test_calls_come_back_newest_first(records: Records) -> None:
    calls = [
        CallRecord(bytes([n]) * 16, "bob", bool(n), 10.0 * n, 10.0 * n + 5, "hangup", {"suite": "Q5"})
        for n in range(2)
    ]
    for call in calls:
        records.add_call(call)
    assert records.calls() == calls[::-1]


def test_no_call_takes_the_place_of_another(records: Records) -> None:
    real = CallRecord(b"c" * 16, "alice", False, 1.0, 61.0, "hangup", {"receipt": "signed"})
    for reason in ("replayed-call", "busy"):
        records.add_call(CallRecord(b"c" * 16, "mallory", False, 70.0, 71.0, reason, {}))
    records.add_call(real)
    records.add_call(CallRecord(b"", "mallory", False, 80.0, 81.0, "malformed", {}))
    assert len(records.calls()) == 4
    assert records.calls_with("alice") == [real]


def test_the_calls_and_contacts_of_version_1_are_kept(path: Path) -> None:
    records = Records(path)
    records.pin("bob", OLD)
    records.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE contact DROP COLUMN doubted")
        db.execute("DROP TABLE call")
        db.execute(
            "CREATE TABLE call (call_id BLOB PRIMARY KEY, contact TEXT NOT NULL, outgoing INTEGER NOT NULL,"
            " began_at REAL NOT NULL, ended_at REAL NOT NULL, reason TEXT NOT NULL, security TEXT NOT NULL)"
        )
        db.execute("INSERT INTO call VALUES (?, 'bob', 1, 1.0, 2.0, 'hangup', '{}')", (b"1" * 16,))
        db.execute("PRAGMA user_version = 1")
    db.close()
    records = Records(path)
    assert records.calls() == [CallRecord(b"1" * 16, "bob", True, 1.0, 2.0, "hangup", {})]
    assert [(each.fingerprint, each.doubted) for each in records.contacts()] == [(OLD, False)]
    records.close()


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
def test_records_that_were_lost_are_fresh_and_those_that_were_kept_are_not(path: Path, lost) -> None:
    for fresh in (True, False):
        records = Records(path)
        assert records.fresh is fresh
        records.close()
    lost(path)
    records = Records(path)
    assert records.fresh
    records.close()


def test_a_file_that_is_no_database_is_a_clear_error(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"cannot be used.*from a backup"):
        Records(path)


def test_records_that_another_program_holds_are_said_to_be_held(records: Records, path: Path) -> None:
    records._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for write in (lambda: records.pin("bob", OLD), lambda: records.consume_call(b"1" * 16)):
        with pytest.raises(StorageError, match="another program is at them"):
            write()
    other.close()
    assert records.consume_call(b"1" * 16)


@pytest.mark.parametrize(
    "damage", ["UPDATE contact SET fingerprint = x'00'", "UPDATE contact SET offered = x''"]
)
def test_a_damaged_pin_is_no_pin(records: Records, path: Path, damage: str) -> None:
    records.pin("bob", OLD)
    with sqlite3.connect(path) as db:
        db.execute(damage)
    db.close()
    for read in (lambda: records.contact("bob"), records.contacts):
        with pytest.raises(StorageError, match=r"fingerprint is damaged.*backup"):
            read()


def test_a_damaged_call_is_told(records: Records, path: Path) -> None:
    records.add_call(CallRecord(b"1" * 16, "bob", True, 1.0, 2.0, "hangup", {}))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE call SET security = 'no JSON'")
    db.close()
    with pytest.raises(StorageError, match=r"cannot be used.*backup"):
        records.calls()


def test_no_snapshot_is_taken_of_a_damaged_database(path: Path) -> None:
    records = Records(path)
    records.pin("bob", OLD)
    records.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(range(256)) * 16 + whole[8192:])
    records = Records(path)
    with pytest.raises(StorageError, match="backup"):
        records.snapshot()
    records.close()


def test_a_file_of_another_version_is_not_touched(path: Path) -> None:
    Records(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StorageError, match="another version"):
        Records(path)
