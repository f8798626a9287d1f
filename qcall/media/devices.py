"""Where sound comes from and where it goes, without hardware: WAV files, a tone, nothing.

Everything is in blocks of 10 ms, mono at 48 kHz. A source is awaited for the next block that has been
captured; a sink is awaited for the moment when it wants one. What has no clock of its own is paced by the
monotonic clock exactly like a sound card, so that all of it works, and measures, without hardware.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE, Samples
from .playout import BLOCK, SILENCE

PERIOD = BLOCK / SAMPLE_RATE
"""Seconds of one block."""
LATEST = 0.2
"""Seconds that a clock may be behind (a suspended machine) before it skips instead of hurrying."""


class Source(Protocol):
    """A microphone, or what stands for one."""

    async def read(self) -> Samples:
        """The next block, as soon as all of it has been captured; capture begins with the first call."""

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

    async def tick(self) -> None:
        """Wait for the next tick. The first comes at once."""
        now = time.monotonic()
        if self.next is None or now > self.next + LATEST:
            self.next = now
        await asyncio.sleep(max(0.0, self.next - now))
        self.next += PERIOD


class PacedSource:
    """Blocks from an iterator, one every 10 ms, silence when it ends."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._beat = Beat()
        self.started: float | None = None
        """When the first sample was captured, in seconds of the monotonic clock."""

    async def read(self) -> Samples:
        if self.started is None:
            await self._beat.tick()
            self.started = time.monotonic()
        await self._beat.tick()
        return next(self._blocks, SILENCE)

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


def open_wav(file: Path) -> Any:
    """The WAV ``file``, opened by PyAV."""
    try:
        container = av.open(str(file.absolute()), format="wav")
    except FileNotFoundError:
        raise DeviceError(f"there is no file {file}; give a WAV file") from None
    except (OSError, av.FFmpegError) as error:
        why = error.strerror or "it holds no sound"
        raise DeviceError(f"{file} cannot be played ({why}); give a WAV file") from None
    if not container.streams.audio:
        container.close()
        raise DeviceError(f"{file} holds no sound; give a WAV file")
    return container


def wav_blocks(container: Any) -> Iterator[Samples]:
    """The sound of ``container`` in blocks; the last is filled up with silence."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    pending = SILENCE[:0]

    def pieces() -> Iterator[Any]:
        try:
            for frame in container.decode(audio=0):
                yield from resampler.resample(frame)
        except av.FFmpegError:
            pass  # A file that is cut short ends where it ends.
        yield from resampler.resample(None)

    for piece in pieces():
        pending = np.concatenate((pending, piece.to_ndarray()[0]))
        while len(pending) >= BLOCK:
            yield pending[:BLOCK]
            pending = pending[BLOCK:]
    if len(pending):
        yield np.concatenate((pending, SILENCE[len(pending) :]))


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


HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
HEADER_EVERY = 10
"""Blocks between two updates of a WAV file's header."""


class WavSink(NullSink):
    """A mono WAV file that is whole at every moment, whatever ends the program.

    Raises ``DeviceError`` when it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._name = file
        self._samples = 0
        self._blocks = 0
        try:
            self._file = file.open("wb", buffering=0)
        except OSError as error:
            raise self._fault(error) from None
        self._save()

    def write(self, block: Samples) -> None:
        if self._file.closed:
            return
        self._put(block.tobytes())
        self._samples += len(block)
        self._blocks += 1
        if self._blocks % HEADER_EVERY == 0:
            self._save()

    def close(self) -> None:
        if not self._file.closed:
            self._save()
            self._file.close()

    def _save(self) -> None:
        size = 2 * self._samples
        form = (b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
        self._file.seek(0)
        self._put(HEADER.pack(b"RIFF", 36 + size, b"WAVE", *form, b"data", size))
        self._file.seek(0, 2)

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            self._file.close()
            raise self._fault(error) from None

    def _fault(self, error: OSError) -> DeviceError:
        return DeviceError(f"cannot write {self._name}: {error.strerror}; choose another file with --output")
