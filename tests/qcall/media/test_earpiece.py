"""The way to the loudspeaker: what is played, recorded, and told to the echo canceller."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from qcall.media.earpiece import Earpiece
from qcall.media.opus import Samples
from qcall.media.playout import BLOCK, SILENCE
from qcall.media.quality import SILENT, level
from qcall.media.tones import BUSY, NOMINAL, UNHEARD, Tones

SPEECH = np.full(BLOCK, 1_000, np.int16)


class Loudspeaker:
    """Wants so many blocks and then no more."""

    def __init__(self) -> None:
        self.wants = 0
        self.played: list[Samples] = []

    async def wanted(self) -> None:
        if len(self.played) == self.wants:
            raise asyncio.CancelledError

    def write(self, block: Samples) -> None:
        self.played.append(block)

    def close(self) -> None:
        pass


class Canceller:
    """Remembers what it was told of."""

    def __init__(self) -> None:
        self.told: list[Samples] = []

    def heard(self, block: Samples) -> None:
        self.told.append(block)


class Ear(Earpiece):
    """An earpiece whose far user says the same all the time."""

    def __init__(self, tones: bool = False) -> None:
        self.loudspeaker = Loudspeaker()
        self.recorded: list[Samples] = []
        super().__init__(self.loudspeaker, lambda now: SPEECH, Tones(enabled=tones))
        self.on_heard = self.recorded.append

    async def play(self, blocks: int) -> list[Samples]:
        """The next blocks that are played."""
        self.loudspeaker.wants += blocks
        with pytest.raises(asyncio.CancelledError):
            await self.run(lambda: None)
        return self.loudspeaker.played[-blocks:]


async def test_nothing_is_heard_before_the_talk_and_all_of_it_then() -> None:
    ear = Ear()
    assert np.array_equal(await ear.play(2), [SILENCE, SILENCE])
    ear.playing = True
    assert np.array_equal(await ear.play(2), [SPEECH, SPEECH])
    assert np.array_equal(ear.recorded, [SPEECH, SPEECH])
    assert ear.level == level(SPEECH)


async def test_who_is_held_hears_nothing_and_records_silence() -> None:
    ear = Ear()
    ear.playing = ear.held = True
    assert np.array_equal(await ear.play(1), [SILENCE])
    assert np.array_equal(ear.recorded, [SILENCE])
    assert ear.level == SILENT


async def test_tones_are_played_and_not_recorded() -> None:
    ear = Ear(tones=True)
    ear.playing = True
    ear.tones.play(BUSY)
    played = await ear.play(10)
    assert all(not np.array_equal(block, SPEECH) for block in played)
    assert np.array_equal(ear.recorded, [SPEECH] * 10)


async def test_the_canceller_is_told_of_all_that_is_played_with_the_tones_in_it() -> None:
    ear = Ear(tones=True)
    processing: Any = Canceller()
    ear.processing = processing
    ear.tones.play(BUSY)
    ringing = await ear.play(3)
    ear.playing = True
    talking = await ear.play(3)
    assert np.array_equal(processing.told, ringing + talking)
    assert np.any(ringing)


async def test_a_tone_is_faint_only_once_the_talk_has_begun() -> None:
    ear = Ear(tones=True)
    await ear.play(20)
    assert ear.tones.level == NOMINAL
    ear.playing = ear.held = True
    await ear.play(20)
    assert ear.tones.level == UNHEARD
