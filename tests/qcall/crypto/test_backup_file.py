"""A backup opens under its passphrase, whole, and in no other way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcall.crypto.backup_file import MAGIC, Backup, dump, load
from qcall.errors import StorageError, UsageError

BACKUP = Backup("alice", 1_790_000_000.0, {"identity.key": b"seeds of alice", "records.db": bytes(100)})


@pytest.fixture(scope="module")
def written() -> bytes:
    return dump(BACKUP, "zwölf Kühe", random.Random(1).randbytes)


def test_a_backup_comes_back_from_every_keyboard(written: bytes) -> None:
    assert load(written, "zwölf Kühe") == BACKUP
    assert load(written, "zwo\u0308lf Ku\u0308he") == BACKUP


def test_nothing_of_it_is_in_clear_or_in_its_repr(written: bytes) -> None:
    assert b"alice" not in written
    assert b"seeds" not in written
    assert "seeds" not in repr(BACKUP)


def test_two_backups_of_the_same_phone_have_nothing_in_common(written: bytes) -> None:
    again = dump(BACKUP, "zwölf Kühe", random.Random(2).randbytes)
    assert again[-60:] != written[-60:]


def test_another_passphrase_does_not_open_it(written: bytes) -> None:
    with pytest.raises(UsageError, match="passphrase"):
        load(written, "zwölf Kuhe")


def test_an_empty_passphrase_is_none() -> None:
    with pytest.raises(UsageError, match="empty"):
        dump(BACKUP, "", random.Random(1).randbytes)


@settings(max_examples=20)
@given(data=st.data())
def test_a_backup_that_was_touched_does_not_open(written: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(written) - 1))
    touched = (
        written[:place] + bytes([written[place] ^ 1 << data.draw(st.integers(0, 7))]) + written[place + 1 :]
    )
    with pytest.raises((StorageError, UsageError)):
        load(touched, "zwölf Kühe")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a backup"),
        (b"PK\3\4", "not a backup"),
        (b"qcall backup 2\n\x80", "newer"),
        (MAGIC, "damaged"),
        (MAGIC + b"\xff" * 40, "damaged"),
    ],
)
def test_what_is_no_backup_is_refused_in_one_line(data: bytes, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        load(data, "any")
