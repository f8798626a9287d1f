"""The control channel takes one encoding, one length and one epoch ahead."""

from __future__ import annotations

import msgspec
import pytest

from qcall.agreement.control import LONGEST, Control, Mute, _header
from qcall.crypto.aead import BOX_LENGTH, Box
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed


def box(key: int) -> Box:
    return Box(Secret(bytes([key]) * BOX_LENGTH))


def pair() -> tuple[Control, Control]:
    return Control(box(1), box(2)), Control(box(2), box(1))


def refusal(control: Control, sealed: bytes) -> str:
    with pytest.raises(AgreementFailed) as caught:
        control.open(sealed)
    return caught.value.code


def test_what_one_seals_the_other_opens() -> None:
    here, there = pair()
    assert there.open(here.seal(Mute(on=True))) == Mute(on=True)
    assert there.heard == "mute"


def test_a_message_in_another_encoding_is_refused() -> None:
    plain = msgspec.msgpack.encode(Mute(on=True))
    assert plain[0] == 0x82  # a map of two, which may be written longer
    header = _header(0, 0)
    _, there = pair()
    assert refusal(there, header + box(1).seal(b"\xde\x00\x02" + plain[1:], header)) == "malformed"


@pytest.mark.parametrize("length", [0, 13, LONGEST + 1])
def test_a_message_of_no_message_length_is_not_tried(length: int) -> None:
    _, there = pair()
    assert refusal(there, bytes(length)) == "length"


def test_no_two_epochs_are_staged() -> None:
    """A peer that never takes up the epoch before would be listened to under its keys for ever."""
    here, there = pair()
    there.stage(box(3))
    assert there.open(here.seal(Mute(on=True))) == Mute(on=True)
    with pytest.raises(AgreementFailed, match="not taken up"):
        there.stage(box(4))


def test_numbers_go_on_across_epochs_and_there_is_no_way_back() -> None:
    here, there = pair()
    there.open(here.seal(Mute(on=True)))
    there.stage(box(3))
    late = Control(box(1), box(2))
    late._send.number = 2
    here.switch(box(3))
    assert there.open(here.seal(Mute(on=False))) == Mute(on=False)
    assert refusal(there, late.seal(Mute(on=True))) == "control"
