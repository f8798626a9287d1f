"""What chance does to the next packets on one hop: a seeded stream, drawn a block at a time. Pure.

Every hop has a stream of its own, named by its seed, and spends the same draws on every packet whatever
became of the packet elsewhere: a change at one hop leaves the luck of all others as it was.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .hop import Burst, Hop, Jitter

HALF_NORMAL = math.sqrt(1 - 2 / math.pi)
"""Standard deviation of the upper half of a standard normal distribution."""
LOMAX = math.sqrt(3) / 2
"""Standard deviation of a Lomax distribution with shape 3 and scale 1."""

Delays = NDArray[np.float64]
Losses = NDArray[np.bool_]


class Stream:
    """The luck of one hop; ``seed`` is one of many whole numbers of any size."""

    def __init__(self, seed: tuple[int, ...]) -> None:
        self._draw = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        self._bad = False

    def next(self, hop: Hop, count: int) -> tuple[Delays, Losses]:
        """Delay variation in seconds, and whether it is lost, for each of the next ``count`` packets."""
        return self._delays(hop, count), self._losses(hop, count)

    def _delays(self, hop: Hop, count: int) -> Delays:
        if hop.jitter_shape is Jitter.NORMAL:
            return np.abs(self._draw.standard_normal(count)) * (hop.jitter / HALF_NORMAL)
        if hop.jitter_shape is Jitter.PARETO:
            return self._draw.pareto(3.0, count) * (hop.jitter / LOMAX)
        return np.zeros(count)

    def _losses(self, hop: Hop, count: int) -> Losses:
        lost = self._draw.random(count) < hop.loss
        if hop.burst is not None:
            lost |= self._bursts(hop.burst, count)
        return lost if hop.up else np.ones(count, np.bool_)

    def _bursts(self, burst: Burst, count: int) -> Losses:
        states = []
        for draw in self._draw.random(count).tolist():
            self._bad = draw >= burst.leave if self._bad else draw < burst.enter
            states.append(self._bad)
        return np.array(states)
