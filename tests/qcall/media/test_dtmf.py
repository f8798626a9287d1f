"""Digits as named events (RFC 4733)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.dtmf import EVENTS, MOST_WAITING, DigitReceiver, DigitSender, Event

FRAME = 960


def events(sender: DigitSender, frames: int, *, start: int = 0) -> list[Event | None]:
    return [sender.with_frame((start + FRAME * n) & 0xFFFFFFFF, 80) for n in range(frames)]


def test_the_layout_is_that_of_rfc_4733() -> None:
    sender = DigitSender()
    sender.press("7")
    first, second, *_ = (event for event in events(sender, 3) if event)
    assert first.payload == bytes.fromhex("07 0a 0000") + bytes(76)
    assert second.payload[:4] == bytes.fromhex("07 0a 03c0")


def test_a_digit_lasts_100_ms_and_its_end_is_told_three_times() -> None:
    sender = DigitSender()
    sender.press("1")
    sent = events(sender, 20)
    tones = [event for event in sent if event and not event.payload[1] & 0x80]
    ends = [event for event in sent if event and event.payload[1] & 0x80]
    assert (len(tones), len(ends)) == (5, 3)
    assert {event.payload[2:4] for event in ends} == {(4_800).to_bytes(2, "big")}
    assert {event.timestamp for event in tones + ends} == {0}
    assert sent[8:] == [None] * 12


@given(st.text(EVENTS, max_size=10), st.integers(0, 2**32 - 1), st.sets(st.integers(0, 120)))
def test_digits_arrive_in_order_unless_all_of_one_is_lost(digits: str, start: int, lost: set[int]) -> None:
    sender, receiver, heard = DigitSender(), DigitReceiver(), []
    sender.press(digits)
    for index, event in enumerate(events(sender, 120, start=start)):
        if event is not None and index not in lost:
            heard.append(receiver.receive(event.timestamp, event.payload))
    expected = [digit for n, digit in enumerate(digits) if not set(range(8 * n, 8 * n + 8)) <= lost]
    assert [digit for digit in heard if digit] == expected


@pytest.mark.parametrize("wrong", ["x", "1 2", "1" * (MOST_WAITING + 1)])
def test_what_cannot_be_sent_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="can"):
        DigitSender().press(wrong)


@given(st.binary(max_size=10))
def test_nothing_from_the_network_is_an_error(payload: bytes) -> None:
    assert DigitReceiver().receive(0, payload) in {None, *EVENTS}
