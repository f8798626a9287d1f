"""The label table, and derivations against a second writing of the specification in hashlib and hmac."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.crypto.kdf import Label, digest, exp, extract, lp, mac, mac_matches, suite_salt
from qcall.crypto.secret import Secret

KEY = bytes(range(48))


def reference_exp(key: bytes, label: str, context: bytes, length: int) -> bytes:
    name = b"qcall/1 " + label.encode()
    info = b"".join(len(f).to_bytes(4, "big") + f for f in (name, context, length.to_bytes(2, "big")))
    block, out, count = b"", b"", 0
    while len(out) < length:
        count += 1
        block = hmac.new(key, block + info + bytes([count]), hashlib.sha384).digest()
        out += block
    return out[:length]


def test_no_two_labels_are_alike() -> None:
    assert max(Counter(label.value for label in Label).values()) == 1


@pytest.mark.parametrize("label", Label, ids=str)
@pytest.mark.parametrize("length", [4, 44, 48, 100])
def test_every_label_expands_as_specified(label: Label, length: int) -> None:
    expected = reference_exp(KEY, label.value, b"context", length)
    assert exp(Secret(KEY), label, b"context", length).reveal() == expected


def test_a_shorter_output_is_not_the_start_of_a_longer_one() -> None:
    short, long = (exp(Secret(KEY), Label.NEXT, b"", n).reveal() for n in (44, 48))
    assert not long.startswith(short)


def test_hashes_carry_their_label() -> None:
    text = b"\0\0\0\x0bqcall/1 tc2" + b"\0\0\0\1a" + b"\0\0\0\0"
    assert digest(Label.TRANSCRIPT_CLEAR_2, b"a", b"") == hashlib.sha384(text).digest()
    assert suite_salt("Q5") == hashlib.sha384(b"qcall/1 Q5").digest()


def test_extract_is_hmac_with_the_salt_as_key() -> None:
    assert extract(b"salt" * 12, b"input").reveal() == hmac.digest(b"salt" * 12, b"input", "sha384")


def test_macs_are_hmac_over_length_prefixed_fields() -> None:
    tag = mac(Secret(KEY), b"a", b"bc")
    assert tag == hmac.digest(KEY, b"\0\0\0\1a\0\0\0\2bc", "sha384")
    assert mac_matches(Secret(KEY), tag, b"a", b"bc")
    assert not mac_matches(Secret(KEY), tag, b"ab", b"c")
    assert not mac_matches(Secret(KEY), tag[:-1], b"a", b"bc")


FIELDS = st.lists(st.binary(max_size=6), max_size=4)


@given(FIELDS, FIELDS)
def test_different_fields_never_give_the_same_bytes(one: list[bytes], two: list[bytes]) -> None:
    assert (lp(*one) == lp(*two)) == (one == two)
