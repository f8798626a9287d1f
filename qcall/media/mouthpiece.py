"""The outgoing half of a call: from the microphone to encoded packets, at the microphone's pace."""

from __future__ import annotations

import asyncio
import fractions
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .devices import Source
from .opus import SAMPLE_RATE, Encoder, Samples
from .playout import BLOCK
from .processing import Processing
from .quality import SILENT, level

TIME_BASE = fractions.Fraction(1, SAMPLE_RATE)


class Mouthpiece(MediaStreamTrack):
    """Encoded speech for aiortc's sender; nothing before ``allow``.

    ``on_spoken`` gets all speech as it is sent; ``processing``, if there is one, cleans it before.
    """

    kind = "audio"

    def __init__(self, source: Source, encoder: Encoder, on_fault: Callable[[Exception], None]) -> None:
        super().__init__()
        self.encoder = encoder
        self.source = source
        self.processing: Processing | None = None
        self.muted = False
        self.held = False
        """While either is set, silence is sent in the place of speech: of the same size and pace."""
        self.on_spoken: Callable[[Samples], None] = lambda sound: None
        self.level = SILENT
        self.packets_sent = 0
        self.samples_dropped = 0
        self._on_fault = on_fault
        self._allowed = asyncio.Event()
        self._position = 0

    def allow(self) -> None:
        """Let the speech out."""
        self._allowed.set()

    async def recv(self) -> av.Packet[Any]:
        """The next packet, for aiortc's sender."""
        await self._allowed.wait()
        source, dropped = self.source, self.source.dropped
        try:
            speech = await self._frame()
            packet = av.Packet(self.encoder.encode(speech))
            self.on_spoken(speech)
        except Exception as error:  # whatever it is: aiortc's sender would only stop, and nobody know why
            self._on_fault(error)
            raise MediaStreamError from None
        # Time goes on where sound is missing (RFC 3550, section 5.1), or all that follows would be late.
        missing = BLOCK * (source.dropped - dropped)
        self.samples_dropped += missing
        self._position += missing
        packet.pts, packet.time_base = self._position, TIME_BASE
        self._position += self.encoder.frame_samples
        self.packets_sent += 1
        return packet

    async def _frame(self) -> Samples:
        """What to send next; the meter shows what the microphone hears, whatever of it is sent."""
        speech = await self.source.read(self.encoder.frame_samples // BLOCK)
        if (processing := self.processing) is not None:
            blocks = (speech[at : at + BLOCK] for at in range(0, len(speech), BLOCK))
            speech = np.concatenate([processing.spoken(block) for block in blocks])
        self.level = level(speech)
        return np.zeros_like(speech) if self.muted or self.held else speech
