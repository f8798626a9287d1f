"""The address book on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from qcall.records.addressbook import AddressBook
from qcall.records.vcard import Entry


def book(home):
    return AddressBook(home.address_book).entries


def test_add_edit_search_and_remove(home, qcall):
    qcall("contacts", "add", "bob", "--shown", "Bob B.", "--note", "Hefei")
    qcall("contacts", "edit", "bob", "--note", "Hefei, second floor")
    assert book(home) == [Entry("bob", "Bob B.", "Hefei, second floor")]
    found = json.loads(qcall("contacts", "search", "SECOND", "--json").stdout)
    assert (found["name"], found["shown"]) == ("bob", "Bob B.")
    qcall("contacts", "remove", "bob")
    assert book(home) == []


def test_import_and_export_are_each_other_s_reverse(home, qcall, tmp_path):
    qcall("contacts", "add", "bob", "--shown", "Bob; with, signs")
    file = tmp_path / "all.vcf"
    assert qcall("contacts", "export", str(file)).stdout == "1 exported\n"
    qcall("contacts", "remove", "bob")
    assert qcall("contacts", "import", str(file)).stdout == "1 imported\n"
    assert book(home) == [Entry("bob", "Bob; with, signs")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add", "Not A Name"), 2),
        (("edit", "nobody"), 2),
        (("remove", "nobody"), 2),
        (("import", "no.vcf"), 1),
    ],
)
def test_what_cannot_be_is_one_line(qcall, words, code):
    result = qcall("contacts", *words, code=code)
    assert len(result.stderr.strip().splitlines()) == 1


def test_everybody_in_the_book_is_a_contact_and_who_has_a_pin_is_one_once(home, records, qcall):
    records.pin("bob", b"f" * 48)
    assert "bob is added; call them: qcall call bob" in qcall("contacts", "add", "bob").output
    qcall("contacts", "add", "carol")
    assert [line.split()[:2] for line in qcall("contacts").output.splitlines()] == [
        ["bob", "pinned"],
        ["carol", "new"],
    ]
    listed = [json.loads(line) for line in qcall("contacts", "--json").output.splitlines()]
    assert [(each["name"], each["status"], each["fingerprint"] is None) for each in listed] == [
        ("bob", "pinned", False),
        ("carol", "new", True),
    ]


def test_what_was_done_is_said(home, qcall):
    assert "nobody yet" in qcall("contacts", "search").output
    qcall("contacts", "add", "bob")
    assert "bob is changed" in qcall("contacts", "add", "bob", "--shown", "B").output
    assert "bob is changed" in qcall("contacts", "edit", "bob", "--note", "x").output
    assert "nobody with 'zz'" in qcall("contacts", "search", "zz").output
    assert "bob is taken out" in qcall("contacts", "remove", "bob").output
    assert "see who is: qcall contacts search" in qcall("contacts", "remove", "bob", code=2).stderr


def test_a_file_of_something_else_is_not_written_over(qcall, tmp_path):
    qcall("contacts", "add", "bob")
    other, earlier = tmp_path / "diary.txt", tmp_path / "all.vcf"
    other.write_text("dear diary")
    refused = qcall("contacts", "export", other, code=1).stderr
    assert "is there already and is no address book ('dear diary' is not a line of a vCard); give" in refused
    assert other.read_text() == "dear diary"
    qcall("contacts", "export", earlier)
    assert qcall("contacts", "export", earlier).stdout == "1 exported\n"
    assert qcall("contacts", "export", tmp_path / "no" / "all.vcf", code=1).stderr.count("\n") == 1


def test_cards_without_an_address_are_counted(qcall, tmp_path):
    file = tmp_path / "phone.vcf"
    card = "BEGIN:VCARD\nVERSION:4.0\nFN:{}\n{}END:VCARD\n"
    file.write_text(card.format("Bob", "IMPP:qcall:bob\n") + card.format("Aunt", "TEL:+49 30 1\n"))
    assert qcall("contacts", "import", file).stdout == "1 imported, 1 left out: no qcall: address\n"


def test_cards_come_through_a_pipe(home, qcall, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    card = "BEGIN:VCARD\nVERSION:4.0\nFN:{}\n{}END:VCARD\n"
    writer = threading.Thread(
        target=pipe.write_text,
        daemon=True,
        args=[card.format("B", "IMPP:qcall:bob\n") + card.format("A", "")],
    )
    writer.start()
    assert qcall("contacts", "import", pipe).stdout == "1 imported, 1 left out: no qcall: address\n"
    writer.join()
    assert book(home) == [Entry("bob", "B")]


def test_cards_are_in_utf_8_whatever_the_locale(home, tmp_path):
    file, back = tmp_path / "phone.vcf", tmp_path / "back.vcf"
    card = "BEGIN:VCARD\nVERSION:4.0\nFN:Köln\nIMPP:qcall:bob\nEND:VCARD\n"
    file.write_text(card, encoding="utf-8")
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for words in (("import", file), ("export", back)):
        command = [sys.executable, "-m", "qcall.cli", "--home", home.directory, "contacts", *words]
        done = subprocess.run(command, env=plain, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert "FN:Köln" in back.read_text(encoding="utf-8")
