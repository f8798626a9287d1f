"""vCards 4.0 (RFC 6350): what other programs write is read, what is written is read again."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.records.vcard import Entry, dump, load

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=120)

# From RFC 6350, section 8 (author's card), with a call name added, and a group, folding and quoting.
FOREIGN = (
    "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Simon Perreault\r\nN:Perreault;Simon;;;ing. jr,M.Sc.\r\n"
    "LANG;PREF=1:fr\r\nORG;TYPE=work:Viagenie\r\nADR;TYPE=work;LABEL=\"a: b\":;Suite D2-630;2875\r\n"
    "  Laurier;Quebec;QC;G1V 2M2;Canada\r\nitem1.IMPP;PREF=1:qcall:simon\r\nNOTE:met at\\nIETF\\, Prague\r\n"
    "END:VCARD\r\n"
    "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:No Phone\r\nEND:VCARD\r\n"
)  # fmt: skip


def test_a_foreign_card_is_read_and_one_without_a_call_name_is_left():
    assert load(FOREIGN) == [Entry("simon", "Simon Perreault", "met at\nIETF, Prague")]


@given(st.lists(st.builds(Entry, NAMES, TEXTS, TEXTS), max_size=5))
def test_what_is_written_is_read_again(entries):
    entries = [Entry(e.name, "" if e.shown == e.name else e.shown, e.note) for e in entries]
    assert load(dump(entries)) == entries


@given(st.builds(Entry, NAMES, TEXTS, TEXTS))
def test_no_line_is_longer_than_the_standard_allows(entry):
    assert max(len(line.encode()) for line in dump([entry]).split("\r\n")) <= 75


@given(st.text())
def test_anything_else_is_refused_with_a_reason_or_read(text):
    with contextlib.suppress(ValueError):
        assert isinstance(load(text), list)


@pytest.mark.parametrize("text", ["hello", "END:VCARD\n", "BEGIN:VCARD\nFN:x\n", "FN:x\n"])
def test_what_is_no_vcard_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        load(text)
