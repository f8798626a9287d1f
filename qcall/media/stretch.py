"""Making speech a little shorter or longer without changing its pitch.

A stretch as long as some pitch periods is taken out or put in where both sides of the seam look alike, and
the seam is cross-faded: overlap-add, as in WSOLA and in NetEQ's Accelerate and PreemptiveExpand.
"""

from __future__ import annotations

import numpy as np

from .opus import SAMPLE_RATE, Samples

SEAM = SAMPLE_RATE * 5 // 1000
"""Samples over which both sides of a cut are compared and mixed; also the shortest step."""
LONGEST = SAMPLE_RATE * 15 // 1000
"""Samples of the longest step: one period of a voice at 67 Hz."""
ALIKE = 0.9
"""Normalised correlation from which a seam is inaudible in speech (NetEQ's value)."""
ANYHOW = -1.0
"""The same for background noise, in which every seam is inaudible."""


def shorten(sound: Samples, most: int, *, alike: float = ALIKE) -> Samples:
    """``sound`` with up to ``most`` samples less, or as it is where that would be heard."""
    region = sound[SEAM : min(most, LONGEST) + SEAM]
    place = best_seam(sound[:SEAM], region, alike)
    if place is None:
        return sound
    step = SEAM + place
    return np.concatenate((crossfade(sound[:SEAM], sound[step : step + SEAM]), sound[step + SEAM :]))


def lengthen(past: Samples, sound: Samples, most: int, *, alike: float = ALIKE) -> Samples:
    """``sound``, which follows ``past``, with up to ``most`` samples more, or as it is."""
    region = past[-min(most, LONGEST, len(past)) :] if most > 0 else past[:0]
    place = best_seam(sound[:SEAM], region, alike)
    if place is None:
        return sound
    again = region[place:]
    return np.concatenate((crossfade(sound[:SEAM], again[:SEAM]), again[SEAM:], sound))


def best_seam(pattern: Samples, region: Samples, alike: float) -> int | None:
    """Where in ``region`` it looks most like ``pattern``; ``None`` when nowhere as ``alike`` as that."""
    if len(pattern) < SEAM or len(region) < SEAM:
        return None
    small, large = pattern.astype(np.float64), region.astype(np.float64)
    products = np.correlate(large, small, "valid")
    energy = np.concatenate(([0.0], np.cumsum(large**2)))
    windows = energy[SEAM:] - energy[:-SEAM]
    likeness = products / np.sqrt(np.maximum(windows, 1.0) * max(float(small @ small), 1.0))
    place = int(np.argmax(likeness))
    return place if likeness[place] >= alike else None


def crossfade(out: Samples, into: Samples) -> Samples:
    """From the sound of ``out`` to that of ``into``, both of the same length."""
    weight = (np.arange(len(out)) + 0.5) / len(out)
    return np.rint(out * (1 - weight) + into * weight).astype(np.int16)
