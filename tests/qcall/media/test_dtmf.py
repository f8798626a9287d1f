"""Digits as named events (RFC 4733)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.dtmf import EVENTS, MOST_WAITING, DigitReceiver, DigitSender, Event

FRAME = 960


def events(sender: DigitSender, frames: int, *, start: int = 0, frame: int = FRAME) -> list[Event | None]:
    return [sender.with_frame((start + frame * n) & 0xFFFFFFFF, 80) for n in range(frames)]


def test_the_layout_is_that_of_rfc_4733() -> None:
    sender = DigitSender()
    sender.press("7")
    first, second, *_ = (event for event in events(sender, 3) if event)
    assert first.payload == bytes.fromhex("07 0a 03c0") + bytes(76)
    assert second.payload[:4] == bytes.fromhex("07 0a 0780")


@pytest.mark.parametrize(("frame", "tones"), [(960, 4), (480, 9)])
def test_a_digit_lasts_100_ms_and_its_end_is_told_three_times(frame: int, tones: int) -> None:
    sender = DigitSender()
    assert events(sender, 5, frame=frame, start=-5 * frame) == [None] * 5
    sender.press("1")
    sent = [event for event in events(sender, 40, frame=frame) if event]
    told = [int.from_bytes(event.payload[2:4], "big") for event in sent]
    ended = [bool(event.payload[1] & 0x80) for event in sent]
    assert told == [frame * n for n in range(1, tones + 1)] + [4_800] * 3
    assert ended == [False] * tones + [True] * 3
    assert {event.timestamp for event in sent} == {0}


@pytest.mark.parametrize("frame", [960, 480])
def test_the_next_digit_waits_for_the_pause(frame: int) -> None:
    sender = DigitSender()
    sender.press("12")
    began = {event.digit: event.timestamp for event in events(sender, 60, frame=frame) if event}
    assert began == {"1": 0, "2": 48 * 160}


def test_a_digit_is_given_up_when_its_beginning_is_too_long_ago() -> None:
    sender = DigitSender()
    sender.press("12")
    assert [sender.with_frame(timestamp, 80) for timestamp in (0, 960)] != [None, None]
    after = sender.with_frame(90_000, 80)
    assert after is not None
    assert (after.digit, after.timestamp) == ("2", 90_000)


@given(st.text(EVENTS, max_size=10), st.integers(0, 2**32 - 1), st.sets(st.integers(0, 120)))
def test_digits_arrive_in_order_unless_all_of_one_is_lost(digits: str, start: int, lost: set[int]) -> None:
    sender, receiver, heard = DigitSender(), DigitReceiver(), []
    sender.press(digits)
    for index, event in enumerate(events(sender, 120, start=start)):
        if event is not None and index not in lost:
            heard.append(receiver.receive(event.timestamp, event.payload))
    expected = [digit for n, digit in enumerate(digits) if not set(range(8 * n, 8 * n + 7)) <= lost]
    assert [digit for digit in heard if digit] == expected


@pytest.mark.parametrize("wrong", ["x", "1 2", "1" * (MOST_WAITING + 1)])
def test_what_cannot_be_sent_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="can"):
        DigitSender().press(wrong)


@given(st.binary(max_size=10))
def test_nothing_from_the_network_is_an_error(payload: bytes) -> None:
    assert DigitReceiver().receive(0, payload) in {None, *EVENTS}


@pytest.mark.parametrize("hours", [0.001, 13, 24])
def test_a_digit_is_heard_however_long_after_the_last(hours: float) -> None:
    receiver = DigitReceiver()
    assert receiver.receive(0, bytes.fromhex("010a03c0")) == "1"
    assert receiver.receive(round(hours * 3_600 * 48_000) & 0xFFFFFFFF, bytes.fromhex("020a03c0")) == "2"


def test_a_digit_that_overtook_the_last_is_not_told_twice() -> None:
    receiver = DigitReceiver()
    assert receiver.receive(48_000, bytes.fromhex("020a03c0")) == "2"
    assert receiver.receive(0, bytes.fromhex("018a12c0")) is None


def test_an_event_without_duration_is_ignored() -> None:
    assert DigitReceiver().receive(0, bytes.fromhex("010a0000")) is None
