"""A phone moves as one encrypted file: all of it, into an empty home, or not at all."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from qcall.config import Account, Home, write_private
from qcall.crypto import backup_file
from qcall.crypto.identity import Identity
from qcall.crypto.identity_file import dump
from qcall.errors import NotSetUp, StorageError, UsageError
from qcall.records.store import Records
from qcall.session.backup import change_passphrase, export, restore
from qcall.session.identity import is_protected, open_identity

ACCOUNT = Account(name="alice", relay="ws://127.0.0.1:1", site="beijing", sae_id="sae-a", kme_id="kme-b")
SECRET = "correct horse"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "alice")
    made.create()
    write_private(made.identity, dump(Identity.create(os.urandom), None, os.urandom))
    for each in (made.sae_key, made.sae_certificate, made.ca_certificate, made.revocations):
        write_private(each, each.name.encode())
    write_private(made.config_file, b'qkd = "require"\n')
    write_private(made.address_book, b"BEGIN:VCARD\nEND:VCARD\n")
    made.save_account(ACCOUNT)
    return made


def test_a_restored_phone_is_the_same_phone(home: Home, tmp_path: Path) -> None:
    records = Records(home.records)  # open, as in a phone that runs: its newest pages are in the WAL
    records.pin("bob", b"b" * 48)
    records.consume_call(b"1" * 16)
    export(home, tmp_path / "backup", SECRET)
    records.close()

    new = Home(tmp_path / "new")
    assert restore(new, tmp_path / "backup", SECRET) == ACCOUNT
    assert open_identity(new, None).fingerprint == open_identity(home, None).fingerprint
    for name in ("sae.key", "sae.pem", "ca.pem", "crl.pem", "config.toml", "account.toml", "contacts.vcf"):
        assert (new.directory / name).read_bytes() == (home.directory / name).read_bytes()
        assert (new.directory / name).stat().st_mode & 0o777 == 0o600
    again = Records(new.records)
    assert [contact.name for contact in again.contacts()] == ["bob"]
    assert not again.consume_call(b"1" * 16)
    again.close()


def test_a_backup_holds_every_file_of_a_home_but_its_socket(home: Home, tmp_path: Path) -> None:
    export(home, tmp_path / "backup", SECRET)
    files = backup_file.load((tmp_path / "backup").read_bytes(), SECRET).files
    named = {value.name for name, value in vars(home).items() if name not in ("directory", "control")}
    assert files.keys() == named


def test_pages_of_an_older_database_do_not_come_into_the_restored_one(home: Home, tmp_path: Path) -> None:
    with closing(Records(home.records)) as records:
        records.pin("bob", b"b" * 48)
    export(home, tmp_path / "backup", SECRET)
    new = Home(tmp_path / "new")
    new.create()
    with closing(Records(new.records)) as older:
        older.pin("mallory", b"m" * 48)
        left = {
            name: new.directory.joinpath(name).read_bytes() for name in ("records.db-wal", "records.db-shm")
        }
    for name, contents in left.items():  # as after a crash
        (new.directory / name).write_bytes(contents)
    restore(new, tmp_path / "backup", SECRET)
    with closing(Records(new.records)) as records:
        assert [contact.name for contact in records.contacts()] == ["bob"]


def test_a_passphrase_of_another_encoding_counts_as_it_is(home: Home) -> None:
    other = os.fsdecode("pässphrase".encode("latin-1"))
    change_passphrase(home, None, other)
    with pytest.raises(UsageError, match="passphrase"):
        open_identity(home, "pässphrase")
    assert open_identity(home, other).fingerprint


def test_the_backup_is_for_its_owner_only_and_overwrites_nothing(home: Home, tmp_path: Path) -> None:
    export(home, tmp_path / "backup", SECRET)
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="there already"):
        export(home, tmp_path / "backup", SECRET)


def test_a_home_in_use_is_left_alone(home: Home, tmp_path: Path) -> None:
    export(home, tmp_path / "backup", SECRET)
    with pytest.raises(UsageError, match="already holds"):
        restore(home, tmp_path / "backup", SECRET)
    half = Home(tmp_path / "half")
    half.create()
    write_private(half.identity, dump(Identity.create(os.urandom), None, os.urandom))
    with pytest.raises(UsageError, match="another phone"):
        restore(half, tmp_path / "backup", SECRET)


def test_a_wrong_passphrase_writes_nothing(home: Home, tmp_path: Path) -> None:
    export(home, tmp_path / "backup", SECRET)
    new = Home(tmp_path / "new")
    with pytest.raises(UsageError, match="passphrase"):
        restore(new, tmp_path / "backup", "wrong")
    assert not new.directory.exists()


@pytest.mark.parametrize(
    "change", [{"identity.key": None}, {"../../etc/passwd": b"x"}, {"identity.key": b"x"}]
)
def test_a_backup_of_something_else_writes_nothing(home: Home, tmp_path: Path, change: dict) -> None:
    export(home, tmp_path / "backup", SECRET)
    files = backup_file.load((tmp_path / "backup").read_bytes(), SECRET).files | change
    other = backup_file.Backup("alice", 0.0, {name: data for name, data in files.items() if data is not None})
    (tmp_path / "other").write_bytes(backup_file.dump(other, SECRET, os.urandom))
    new = Home(tmp_path / "new")
    with pytest.raises(StorageError):
        restore(new, tmp_path / "other", SECRET)
    assert not new.directory.exists()


def test_there_is_nothing_to_export_before_the_phone_is_set_up(tmp_path: Path) -> None:
    with pytest.raises(NotSetUp):
        export(Home(tmp_path / "nobody"), tmp_path / "backup", SECRET)


def test_the_passphrase_can_be_set_changed_and_removed(home: Home) -> None:
    fingerprint = open_identity(home, None).fingerprint
    for old, new in ((None, "one"), ("one", "two"), ("two", None)):
        change_passphrase(home, old, new)
        assert is_protected(home) is (new is not None)
        assert open_identity(home, new).fingerprint == fingerprint
    assert home.identity.stat().st_mode & 0o777 == 0o600


def test_changing_needs_the_old_passphrase(home: Home) -> None:
    change_passphrase(home, None, "one")
    before = home.identity.read_bytes()
    for wrong in (None, "two"):
        with pytest.raises(UsageError, match="passphrase"):
            change_passphrase(home, wrong, "three")
    assert home.identity.read_bytes() == before
