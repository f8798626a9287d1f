"""Comfort noise: what a pause sounds like on the far side, for as long as nothing comes from there.

Dead silence in a call sounds like a broken line. The magnitude spectrum of the background is learned frame
by frame; noise of that spectrum, with phases drawn anew, follows a gap longer than concealment can bridge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .opus import SAMPLE_RATE, Samples

FRAME = SAMPLE_RATE // 50
"""Samples: 20 ms, of which half overlap with the frame before."""
HOP = FRAME // 2
LEARN = 0.1
"""Weight of the newest frame."""
WINDOW = np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME)
"""Its square adds up to one at half overlap, before and after the transform."""
SEED = 1


class ComfortNoise:
    """Learns the background of one call and makes noise like it; silent until it has learned some."""

    def __init__(self) -> None:
        self._spectrum: NDArray[np.float64] = np.zeros(FRAME // 2 + 1)
        self._phases = np.random.default_rng(SEED)
        self._tail = np.zeros(HOP)
        self._pending = np.zeros(0)

    def learn(self, background: Samples) -> None:
        """Take in sound in which nobody speaks; what is shorter than 20 ms is passed over."""
        for at in range(0, len(background) - FRAME + 1, FRAME):
            magnitude = np.abs(np.fft.rfft(background[at : at + FRAME] * WINDOW))
            weight = LEARN if self._spectrum.any() else 1.0
            self._spectrum += weight * (magnitude - self._spectrum)

    def make(self, samples: int) -> NDArray[np.float64]:
        """That much noise, continuing what was made before."""
        while len(self._pending) < samples:
            turn = np.exp(2j * np.pi * self._phases.random(len(self._spectrum)))
            frame = np.fft.irfft(self._spectrum * turn, FRAME) * WINDOW * np.sqrt(2)
            self._pending = np.concatenate((self._pending, self._tail + frame[:HOP]))
            self._tail = frame[HOP:]
        noise, self._pending = self._pending[:samples], self._pending[samples:]
        return noise
