"""Compares what one phone said with what the other heard, from the two WAV files and one clock."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
WINDOW = 1.0
"""Seconds of speech that each delay is measured over."""
STEP = 0.25
LONGEST = 1.0
"""Seconds; a longer mouth-to-ear delay than this is not looked for."""
SILENT = 0.01
"""RMS, of full scale, below which a window holds no speech to match."""

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Hearing:
    """How well, and how late, the far side heard."""

    correlation: float
    """Peak of the normalised cross-correlation of the whole recording with what was sent; 1 is identical."""
    delays: tuple[float, ...]
    """Mouth to ear, in seconds, of each window that holds speech."""

    def percentile(self, share: float) -> float:
        """The delay that ``share`` percent of the windows stay under, in seconds."""
        return float(np.percentile(self.delays, share))


def load(path: Path) -> Samples:
    """Mono samples at 48 kHz, full scale 1.0."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (RATE, 2)
        raw = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return raw.reshape(-1, file.getnchannels())[:, 0] / 32_768


def correlate(needle: Samples, haystack: Samples) -> tuple[int, float]:
    """Where ``needle`` lies in ``haystack``, in samples, and how alike they are there (-1 to 1)."""
    size = 1 << (len(needle) + len(haystack) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(haystack, size) * np.conj(np.fft.rfft(needle, size)), size)
    product = product[: len(haystack) - len(needle) + 1]
    energy = np.concatenate(([0.0], np.cumsum(haystack**2)))
    local = energy[len(needle) :] - energy[: -len(needle)]
    score = product / np.sqrt(np.maximum(local, 1e-9) * max(float(np.sum(needle**2)), 1e-9))
    at = int(np.argmax(score))
    return at, float(score[at])


def compare(said: Samples, said_at: float, heard: Samples, heard_at: float) -> Hearing:
    """Match ``heard`` against ``said``; ``…_at`` are the clock's seconds of each first sample."""
    whole = min(len(said), len(heard))
    longest = int(LONGEST * RATE)
    padded = np.concatenate((heard, np.zeros(longest)))
    first = int((said_at - heard_at) * RATE)
    delays = []
    for start in np.arange(0, whole / RATE - WINDOW, STEP):
        window = said[int(start * RATE) : int((start + WINDOW) * RATE)]
        begin = int(start * RATE) + first
        if begin < 0 or np.sqrt(np.mean(window**2)) < SILENT:
            continue
        there = padded[begin : begin + len(window) + longest]
        if len(there) < len(window) + longest or begin + len(window) > len(heard):
            continue
        at, score = correlate(window, there)
        if score > 0.5:
            delays.append(at / RATE)
    overlap = said[max(0, -first) : max(0, -first) + whole]
    middle = overlap[: max(len(overlap) - longest, len(overlap) // 2)]
    _, peak = correlate(middle, np.concatenate((np.zeros(longest), padded)))
    return Hearing(peak, tuple(delays))
