"""Compares what one phone said with what the other heard, from the two WAV files and one clock."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qcall.media.opus import SAMPLE_RATE, Samples
from qcall.media.quality import locate

WINDOW = SAMPLE_RATE
"""Samples of speech that each delay is measured over."""
STEP = SAMPLE_RATE // 4
LONGEST = SAMPLE_RATE // 2
"""Samples; a longer mouth-to-ear delay than this is not looked for."""
SILENT = 300.0
"""RMS of 16-bit samples below which a window holds no speech to match."""


@dataclass(frozen=True)
class Hearing:
    """How well, and how late, the far side heard: one entry for each window that holds speech."""

    likeness: NDArray[np.float64]
    """Peak of the normalised cross-correlation of what was heard with what was said; 1 is identical."""
    delays: NDArray[np.float64]
    """Mouth to ear, in seconds."""

    @property
    def correlation(self) -> float:
        """The mean likeness; 0 when nothing was heard."""
        return float(np.mean(self.likeness)) if len(self.likeness) else 0.0

    def percentile(self, share: float) -> float:
        """The delay that ``share`` percent of the windows stay under, in seconds."""
        return float(np.percentile(self.delays, share)) if len(self.delays) else float("inf")


def load(path: Path) -> Samples:
    """The samples of a mono WAV file of 16 bits at 48 kHz."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (SAMPLE_RATE, 2, 1):
            raise ValueError(f"{path} is not mono at 48 kHz in 16 bits")
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def compare(said: Samples, said_at: float, heard: Samples, heard_at: float) -> Hearing:
    """Match ``heard`` against ``said``; ``…_at`` are the clock's seconds of each first sample.

    Window by window, because a playout buffer that adapts does not keep one delay for a whole call.
    """
    offset = round((said_at - heard_at) * SAMPLE_RATE)
    likeness, delays = [], []
    for start in range(0, len(said) - WINDOW, STEP):
        window = said[start : start + WINDOW]
        there = heard[max(0, start + offset) : start + offset + WINDOW + LONGEST]
        if start + offset < 0 or np.sqrt(np.mean(window.astype(np.float64) ** 2)) < SILENT:
            continue
        if len(there) < WINDOW + LONGEST:
            break
        match = locate(window, there)
        likeness.append(match.peak)
        delays.append(match.lag / SAMPLE_RATE)
    return Hearing(np.array(likeness), np.array(delays))
