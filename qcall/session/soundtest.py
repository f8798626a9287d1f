"""Tries the sound card: a test tone out of the loudspeaker, then the level of the microphone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from qcall.media.devices import tone
from qcall.media.portaudio import cards as all_cards
from qcall.media.quality import SILENT, level
from qcall.media.soundcard import Microphone, Speaker

TONE, LISTEN = 0.8, 1.5
"""Seconds that the tone sounds, and that the microphone is listened to."""


class SoundTest:
    """All of it blocks and belongs on a thread; raises ``DeviceError``."""

    def cards(self) -> tuple[Sequence[str], Sequence[str]]:
        """The names of microphones and of loudspeakers."""
        found = all_cards()
        return [card.name for card in found if card.microphone], [
            card.name for card in found if card.loudspeaker
        ]

    def run(self, microphone: str, speaker: str) -> float:
        """Sound a tone, listen, and return the loudest moment in decibels relative to full scale."""
        return asyncio.run(self._run(microphone or None, speaker or None))

    async def _run(self, microphone: str | None, speaker: str | None) -> float:
        await self._sound(speaker)
        return await self._listen(microphone)

    async def _sound(self, name: str | None) -> None:
        sink, blocks = await Speaker.open(name), tone(880.0)
        try:
            until = time.monotonic() + TONE
            while time.monotonic() < until:
                await sink.wanted()
                sink.write(next(blocks))
        finally:
            sink.close()

    async def _listen(self, name: str | None) -> float:
        source, loudest = await Microphone.open(name), SILENT
        try:
            until = time.monotonic() + LISTEN
            while time.monotonic() < until:
                loudest = max(loudest, level(await source.read()))
        finally:
            source.close()
        return loudest
