"""The address book: kept in a vCard file that only its owner reads."""

from __future__ import annotations

import os
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


def test_an_export_is_private_and_replaces_what_a_link_leads_to_whole_or_not_at_all(file, tmp_path):
    book = AddressBook(file)
    book.save(Entry("bob", "Köln"))
    earlier, link = tmp_path / "earlier.vcf", tmp_path / "link.vcf"
    earlier.write_bytes(file.read_bytes())
    before = earlier.stat().st_ino
    link.symlink_to(earlier)
    assert book.export(link) == 1
    assert link.is_symlink()
    assert earlier.stat().st_ino != before
    assert stat.S_IMODE(earlier.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["contacts.vcf", "earlier.vcf", "link.vcf"]


def test_an_export_goes_into_a_pipe_and_leaves_it_one(file, tmp_path):
    AddressBook(file).save(Entry("bob"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    AddressBook(file).export(pipe)
    assert os.read(reader, LARGEST) == file.read_bytes()
    os.close(reader)
    assert pipe.is_fifo()


def test_why_a_file_is_not_replaced_is_said(file, tmp_path):
    other = tmp_path / "other.vcf"
    other.write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(StorageError, match="is there already and is too large for an address book; give"):
        AddressBook(file).export(other)


def test_a_book_never_grows_beyond_what_is_read_again(file):
    book = AddressBook(file)
    book.save(Entry("bob"))
    with pytest.raises(StorageError, match="larger than 1 MB"):
        book.save(Entry("carol", "Carol", "x" * LARGEST))
    assert book.entries == [Entry("bob")]
