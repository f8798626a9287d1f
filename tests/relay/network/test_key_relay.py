"""One hop: nothing of a frame can be changed, and a forgery spends nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.network import key_relay
from relay.network.key_relay import HopRejected, HopReport, Message
from relay.network.link import BLOCK_BITS, LinkEnd

KEY = bytes(range(100, 132))
MESSAGE = Message("id-1", 1, ("a", "b", "c"), 0, (HopReport(0.01, 3.0),))


def link() -> tuple[LinkEnd, LinkEnd]:
    level = 50 * BLOCK_BITS
    return (
        LinkEnd(bytes(32), 0, rate=0, now=0.0, level=level),
        LinkEnd(bytes(32), 1, rate=0, now=0.0, level=level),
    )


def sealed(message: Message = MESSAGE) -> tuple[bytes, LinkEnd]:
    left, right = link()
    return key_relay.seal(left.reserve(0.0), message, KEY), right


def test_a_key_crosses_a_hop() -> None:
    frame, end = sealed()
    assert key_relay.open_frame(end, frame, sender="a", receiver="b", now=0.0) == (MESSAGE, KEY)


def test_the_key_is_not_in_the_frame() -> None:
    frame, _ = sealed()
    assert KEY not in frame


@given(st.data())
def test_any_flipped_bit_is_detected_and_spends_nothing(data: st.DataObject) -> None:
    frame, end = sealed()
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    forged = bytearray(frame)
    forged[place // 8] ^= 1 << place % 8
    with pytest.raises(HopRejected):
        key_relay.open_frame(end, bytes(forged), sender="a", receiver="b", now=0.0)
    assert end.spent_bits == 0
    assert key_relay.open_frame(end, frame, sender="a", receiver="b", now=0.0)[1] == KEY


def test_a_replayed_frame_is_refused() -> None:
    frame, end = sealed()
    key_relay.open_frame(end, frame, sender="a", receiver="b", now=0.0)
    with pytest.raises(HopRejected, match="used before"):
        key_relay.open_frame(end, frame, sender="a", receiver="b", now=0.0)


def test_a_frame_reflected_to_its_sender_is_refused() -> None:
    left, _ = link()
    frame = key_relay.seal(left.reserve(0.0), MESSAGE, KEY)
    with pytest.raises(HopRejected, match="another node"):
        key_relay.open_frame(left, frame, sender="b", receiver="a", now=0.0)


@pytest.mark.parametrize(
    "message",
    [
        msgspec.structs.replace(MESSAGE, share=1),
        msgspec.structs.replace(MESSAGE, hops=()),
        msgspec.structs.replace(MESSAGE, path=("a", "b"), position=0, hops=(HopReport(0, 0),) * 2),
    ],
    ids=["share beyond shares", "no report", "too many reports"],
)
def test_a_frame_that_contradicts_itself_is_refused_even_with_a_right_tag(message: Message) -> None:
    frame, end = sealed(message)
    with pytest.raises(HopRejected, match="contradicts"):
        key_relay.open_frame(end, frame, sender="a", receiver="b", now=0.0)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    _, end = link()
    with pytest.raises(HopRejected):
        key_relay.open_frame(end, noise, sender="a", receiver="b", now=0.0)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_pad_taken_twice_is_no_pad(key: bytes, pad: bytes) -> None:
    assert key_relay.xor(key_relay.xor(key, pad), pad) == key


def test_a_pad_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly as long"):
        key_relay.xor(b"ab", b"a")
