"""WAV files: read with whatever is in them, written so that they are whole at every moment."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE, Samples
from .playout import BLOCK, SILENCE

HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
HEADER_EVERY = 10
"""Writes between two updates of a file's header."""
LARGEST = 0xFFFF_FFFF - HEADER.size
"""Bytes of sound that a header can tell of; what comes after them is there, and not told of."""


def open_wav(file: Path) -> Any:
    """The WAV ``file``, opened by PyAV. Raises ``DeviceError`` when it is not one."""
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


class WavFile:
    """A WAV file of 16 bits at 48 kHz that is whole at every moment, whatever ends the program.

    ``option`` is the flag that users choose it with, if they do. It is its owner's only, as what was said is;
    with ``new`` there must be no such file yet, else what is in it is lost. Raises ``DeviceError`` when it
    cannot be written.
    """

    def __init__(self, file: Path, *, option: str = "", channels: int = 1, new: bool = False) -> None:
        self._name = file
        self._option = option
        self._channels = channels
        self._size = 0
        self._writes = 0
        flags = os.O_EXCL if new else os.O_TRUNC
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | flags, 0o600)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                with contextlib.suppress(PermissionError):  # another user's, who lets this one write
                    os.fchmod(descriptor, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
        except OSError as error:
            raise self._fault(error) from None
        self._save()

    def write(self, sound: Samples) -> None:
        """Add ``sound``, mono or with interleaved channels; after ``close``, nothing."""
        if self._file.closed:
            return
        self._put(sound.tobytes())
        self._size += 2 * len(sound)
        self._writes += 1
        if self._writes % HEADER_EVERY == 0:
            self._save()

    def close(self) -> None:
        """Bring the header up to date; may be called twice. What cannot be written is an error here too."""
        if not self._file.closed:
            self._save()
            try:
                self._file.close()
            except OSError as error:  # a quota, or a server, that only now says so
                raise self._fault(error) from None

    def _save(self) -> None:
        size, width = min(self._size, LARGEST), 2 * self._channels
        form = (b"fmt ", 16, 1, self._channels, SAMPLE_RATE, width * SAMPLE_RATE, width, 16)
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
        why = f"cannot write {self._name}: {error.strerror}"
        by = f" with {self._option}" if self._option else ""
        return DeviceError(f"{why}; choose another file{by}")
