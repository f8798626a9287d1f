"""Where sound comes from and where it goes, without hardware: WAV files, a tone, nothing.

Everything is in blocks of 10 ms, mono at 48 kHz. A source is awaited for the next block that has been
captured; a sink is awaited for the moment when it wants one. What has no clock of its own is paced by the
monotonic clock exactly like a sound card, so that all of it works, and measures, without hardware.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from .opus import SAMPLE_RATE, Samples
from .playout import BLOCK, SILENCE, STALL
from .wav import WavFile, open_wav, wav_blocks

PERIOD = BLOCK / SAMPLE_RATE
"""Seconds of one block."""
LATEST = STALL - PERIOD
"""Seconds that a clock may be behind before it skips instead of hurrying, as the playout buffer then does."""


class Source(Protocol):
    """A microphone, or what stands for one."""

    @property
    def dropped(self) -> int:
        """Blocks of its time that nobody will read: they came too late, or it was asked too late."""

    async def read(self, blocks: int = 1) -> Samples:
        """The next blocks, as soon as all of them have been captured; capture begins with the first call."""

    def close(self) -> None:
        """Give the device back; may be called twice."""


class Sink(Protocol):
    """A loudspeaker, or what stands for one."""

    async def wanted(self) -> None:
        """Return when the next block is wanted."""

    def write(self, block: Samples) -> None:
        """Play ``block`` as soon as possible."""

    def close(self) -> None:
        """Give the device back; may be called twice."""


class Beat:
    """Ticks every 10 ms of the monotonic clock, without drift."""

    def __init__(self) -> None:
        self.next: float | None = None
        self.skipped = 0
        """Ticks that were left out, because it was asked too late."""

    async def tick(self, ticks: int = 1) -> None:
        """Wait for the last of the next ``ticks``. The first of all comes at once."""
        now = time.monotonic()
        if self.next is None:
            self.next = now
        elif now > self.next + LATEST:
            late = round((now - self.next) / PERIOD)
            self.skipped += late
            self.next += late * PERIOD
        due = self.next + (ticks - 1) * PERIOD
        await asyncio.sleep(max(0.0, due - now))
        self.next = due + PERIOD


class PacedSource:
    """Blocks from an iterator, one every 10 ms, silence when it ends."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._beat = Beat()
        self.started: float | None = None
        """When the first sample was captured, in seconds of the monotonic clock."""

    @property
    def dropped(self) -> int:
        """The clock's ticks without a block."""
        return self._beat.skipped

    async def read(self, blocks: int = 1) -> Samples:
        if self.started is None:
            await self._beat.tick()
            self.started = time.monotonic()
        # One wait for all: a program that wakes less often leaves room for more calls.
        await self._beat.tick(blocks)
        return np.concatenate([next(self._blocks, SILENCE) for _ in range(blocks)])

    def close(self) -> None:
        self._blocks = iter(())


class NullSource(PacedSource):
    """Silence."""

    def __init__(self) -> None:
        super().__init__(iter(()))


class ToneSource(PacedSource):
    """A sine of ``frequency`` Hz, at a quarter of full scale."""

    def __init__(self, frequency: float = 440.0) -> None:
        super().__init__(tone(frequency))


def tone(frequency: float) -> Iterator[Samples]:
    """An endless sine."""
    start = 0
    while True:
        t = (start + np.arange(BLOCK)) / SAMPLE_RATE
        yield (8000 * np.sin(2 * np.pi * frequency * t)).astype(np.int16)
        start += BLOCK


class WavSource(PacedSource):
    """A WAV file of any rate and any number of channels. Raises ``DeviceError`` when it is not one."""

    def __init__(self, file: Path) -> None:
        self._container = open_wav(file)
        super().__init__(wav_blocks(self._container))

    def close(self) -> None:
        super().close()
        self._container.close()


class NullSink:
    """Sound that nobody hears, at the pace of a loudspeaker."""

    def __init__(self) -> None:
        self._beat = Beat()
        self.started: float | None = None
        """When the first sample sounded, in seconds of the monotonic clock."""

    async def wanted(self) -> None:
        await self._beat.tick()
        if self.started is None:
            self.started = time.monotonic()

    def write(self, block: Samples) -> None:
        pass

    def close(self) -> None:
        pass


class WavSink(NullSink):
    """A WAV file in the place of a loudspeaker. Raises ``DeviceError`` when it cannot be written."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = WavFile(file, option="--output")

    def write(self, block: Samples) -> None:
        self._file.write(block)

    def close(self) -> None:
        self._file.close()
