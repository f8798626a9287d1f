"""The way from the microphone: what is sent, recorded, shown on the meter, and cleaned before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qcall.media.devices import NullSource
from qcall.media.mouthpiece import Mouthpiece
from qcall.media.opus import Decoder, Encoder, Samples
from qcall.media.playout import BLOCK
from qcall.media.quality import level

TONE = (8_000 * np.sin(2 * np.pi * 440 * np.arange(2 * BLOCK) / 48_000)).astype(np.int16)


class Microphone(NullSource):
    """Hears the same tone all the time, and has no clock."""

    async def read(self, blocks: int = 1) -> Samples:
        return TONE[: blocks * BLOCK]


class Halving:
    """Stands for what cleans speech."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def spoken(self, block: Samples) -> Samples:
        self.blocks.append(len(block))
        return block // 2


class Mouth(Mouthpiece):
    """A mouthpiece that is allowed to speak."""

    def __init__(self) -> None:
        self.recorded: list[Samples] = []
        super().__init__(Microphone(), Encoder(frame_ms=20, bitrate=32_000), lambda error: None)
        self.on_spoken = self.recorded.append
        self.allow()

    async def sent(self, packets: int = 10) -> Samples:
        """What the far side decodes of the last of so many packets."""
        decoder = Decoder()
        for _ in range(packets):
            heard = decoder.decode(bytes(await self.recv()))
        return heard


async def test_what_is_spoken_is_sent_recorded_and_shown() -> None:
    mouth = Mouth()
    assert level(await mouth.sent()) == pytest.approx(level(TONE), abs=1)
    assert np.array_equal(mouth.recorded[-1], TONE)
    assert mouth.level == level(TONE)
    assert mouth.packets_sent == 10


@pytest.mark.parametrize("wish", ["muted", "held"])
async def test_nothing_of_silenced_speech_is_sent_or_recorded_but_the_meter_shows_it(wish: str) -> None:
    mouth = Mouth()
    setattr(mouth, wish, True)
    assert level(await mouth.sent()) < -80
    assert not np.any(mouth.recorded)
    assert mouth.level == level(TONE)


async def test_speech_is_cleaned_in_blocks_before_it_is_sent_recorded_or_shown() -> None:
    mouth = Mouth()
    processing: Any = Halving()
    mouth.processing = processing
    assert level(await mouth.sent()) == pytest.approx(level(TONE // 2), abs=1)
    assert set(processing.blocks) == {BLOCK}
    assert np.array_equal(mouth.recorded[-1], TONE // 2)
    assert mouth.level == level(TONE // 2)
