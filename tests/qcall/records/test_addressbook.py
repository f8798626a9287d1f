"""The address book: kept in a vCard file that only its owner reads."""

from __future__ import annotations

import stat

import pytest

from qcall.errors import StorageError, UsageError
from qcall.records.addressbook import LARGEST, AddressBook, read
from qcall.records.vcard import Entry


@pytest.fixture
def file(tmp_path):
    return tmp_path / "contacts.vcf"


def test_entries_outlive_the_program(file):
    AddressBook(file).save(Entry("bob", "Bob B.", "tests"), Entry("alice"))
    assert AddressBook(file).entries == [Entry("alice"), Entry("bob", "Bob B.", "tests")]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_entry_is_replaced_by_one_of_its_name(file):
    book = AddressBook(file)
    book.save(Entry("bob", "Bob"))
    book.save(Entry("bob", "Robert"))
    assert AddressBook(file).entries == [Entry("bob", "Robert")]


def test_removing_takes_one_out_once(file):
    book = AddressBook(file)
    book.save(Entry("bob"), Entry("carol"))
    assert (book.remove("bob"), book.remove("bob")) == (True, False)
    assert AddressBook(file).entries == [Entry("carol")]


def test_search_is_in_every_field_and_any_case(file):
    book = AddressBook(file)
    book.save(Entry("bob", "Robert", "Köln"), Entry("carol", "Carol", "Paris"))
    assert [entry.name for entry in book.find("KÖLN")] == ["bob"]
    assert [entry.name for entry in book.find("ro")] == ["bob", "carol"]


def test_nothing_is_saved_when_one_name_is_wrong(file):
    book = AddressBook(file)
    with pytest.raises(UsageError, match="cannot be a name"):
        book.save(Entry("bob"), Entry("Not A Name"))
    assert book.entries == []
    assert not file.exists()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"hello", b"x" * (LARGEST + 1)])
def test_a_file_that_is_no_vcard_is_refused_in_one_line(file, content):
    file.write_bytes(content)
    with pytest.raises(StorageError) as refused:
        read(file)
    assert "vCard" in str(refused.value)
    assert "\n" not in str(refused.value)
