"""A box opens what was sealed, in the order in which it was sealed, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.crypto.aead import BOX_LENGTH, Box
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

MATERIAL = Secret(bytes(range(BOX_LENGTH)))


def test_messages_open_in_order() -> None:
    sealing, opening = Box(MATERIAL), Box(MATERIAL)
    for text in (b"one", b"two", b""):
        assert opening.open(sealing.seal(text, b"head"), b"head") == text


def test_equal_messages_are_sealed_differently() -> None:
    box = Box(MATERIAL)
    assert box.seal(b"same", b"") != box.seal(b"same", b"")


def test_a_replayed_message_does_not_open() -> None:
    opening, sealed = Box(MATERIAL), Box(MATERIAL).seal(b"one", b"")
    opening.open(sealed, b"")
    with pytest.raises(AgreementFailed):
        opening.open(sealed, b"")


def test_a_message_out_of_order_does_not_open() -> None:
    sealing, opening = Box(MATERIAL), Box(MATERIAL)
    sealing.seal(b"one", b"")
    with pytest.raises(AgreementFailed):
        opening.open(sealing.seal(b"two", b""), b"")


@given(st.binary(max_size=64), st.data())
def test_any_flipped_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(Box(MATERIAL).seal(plaintext, b"head"))
    place = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(AgreementFailed):
        Box(MATERIAL).open(bytes(sealed), b"head")


def test_the_associated_data_is_bound() -> None:
    with pytest.raises(AgreementFailed):
        Box(MATERIAL).open(Box(MATERIAL).seal(b"x", b"head"), b"tail")


def test_material_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="44"):
        Box(Secret(bytes(43)))
