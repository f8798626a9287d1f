"""What lies between a card's thread and the program: bounded, fresh when a call begins, supplied ahead."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from qcall.media.opus import Samples
from qcall.media.playout import BLOCK, SILENCE
from qcall.media.soundcard import AHEAD, FAR_AHEAD, RING, STEADY, Microphone, Speaker, is_headset
from tests.qcall.media.cards import Cards, plugged_in


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    return plugged_in(monkeypatch)


def block(value: int) -> Samples:
    return np.full(BLOCK, value, np.int16)


async def read(microphone: Microphone, blocks: int) -> list[int]:
    """The values of the next blocks."""
    return [int((await asyncio.wait_for(microphone.read(), 1))[0]) for _ in range(blocks)]


async def begun(microphone: Microphone, cards: Cards) -> None:
    """The first block of a call is read."""
    reading = asyncio.create_task(microphone.read())
    await asyncio.sleep(0)
    cards.streams[-1].record(block(1))
    await reading


async def test_what_was_captured_before_the_first_read_is_not_sent(cards: Cards) -> None:
    microphone = await Microphone.open()
    for _ in range(5):
        cards.streams[0].record(block(9))
    reading = asyncio.create_task(microphone.read())
    await asyncio.sleep(0)
    assert not reading.done()
    cards.streams[0].record(block(7))
    assert np.array_equal(await asyncio.wait_for(reading, 1), block(7))
    microphone.close()


async def test_of_what_nobody_reads_in_time_only_the_newest_is_kept(cards: Cards) -> None:
    microphone = await Microphone.open()
    await begun(microphone, cards)
    assert RING * BLOCK <= 48_000 // 10, "no more than 100 ms of delay"
    for value in range(100, 100 + 5 * RING):
        cards.streams[0].record(block(value))
    assert await read(microphone, RING) == list(range(100 + 4 * RING, 100 + 5 * RING))
    microphone.close()


async def settled() -> None:
    """Whoever was called has done what there is to do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def supply(speaker: Speaker) -> None:
    """Write blocks for as long as the speaker wants them."""
    while True:
        await speaker.wanted()
        speaker.write(block(3))


async def test_a_loudspeaker_is_supplied_ahead_and_farther_once_it_was_left_without(cards: Cards) -> None:
    speaker = await Speaker.open()
    call = cards.streams[0].callback
    supplying = asyncio.create_task(supply(speaker))
    for _ in range(2 * STEADY):
        await settled()
        assert len(speaker._ring) == AHEAD
        assert call(None, BLOCK)[0] == block(3).tobytes()
    assert call(None, BLOCK)[0] == SILENCE.tobytes()
    await settled()
    assert len(speaker._ring) == FAR_AHEAD
    supplying.cancel()
    speaker.close()


async def test_silence_at_the_start_of_a_loudspeaker_costs_no_delay(cards: Cards) -> None:
    speaker = await Speaker.open()
    for _ in range(STEADY):
        cards.streams[0].callback(None, BLOCK)
    supplying = asyncio.create_task(supply(speaker))
    await settled()
    assert len(speaker._ring) == AHEAD
    supplying.cancel()
    speaker.close()


@pytest.mark.parametrize(
    ("name", "worn"),
    [
        ("Jabra Evolve Headset: USB Audio", True),
        ("Sony WH-1000 Headphones", True),
        ("AirPods Pro", True),
        ("HDA Intel PCH: ALC257 Analog", False),
        ("Built-in Speakers", False),
        ("", False),
    ],
)
def test_what_is_worn_is_known_by_its_name(name: str, worn: bool) -> None:
    assert is_headset(name) is worn
