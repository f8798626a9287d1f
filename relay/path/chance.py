"""What chance does to the next packets on one hop: a seeded stream, drawn a block at a time. Pure.

Every hop has a stream of its own, named by its seed, and spends the same draws on every packet whatever
became of the packet elsewhere: a change at one hop leaves the luck of all others as it was.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .hop import Burst, Hop, Jitter

HALF_NORMAL = math.sqrt(1 - 2 / math.pi)
"""Standard deviation of the upper half of a standard normal distribution."""
_QUANTILES = 4096
_LAST_QUANTILE = np.uint16(_QUANTILES - 1)
LOMAX = math.sqrt(3) / 2
"""Standard deviation of a Lomax distribution with shape 3 and scale 1."""

Delays = NDArray[np.float64]
Losses = NDArray[np.bool_]


@cache
def _half_normal() -> Delays:
    """The upper half of a standard normal distribution in equally likely steps, scaled to a deviation of 1.

    Like netem's tables: picking one costs a quarter of drawing a normal number. It ends at 3.7 sigma.
    """
    upper = 1 - (np.arange(_QUANTILES) + 0.5) / (2 * _QUANTILES)
    inverse = NormalDist().inv_cdf
    return np.array([inverse(each) for each in upper.tolist()]) / HALF_NORMAL


class Stream:
    """The luck of one hop; ``seed`` is one of many whole numbers of any size."""

    def __init__(self, seed: tuple[int, ...]) -> None:
        delays, losses = np.random.SeedSequence(seed).spawn(2)
        self._delay = np.random.Generator(np.random.SFC64(delays))
        self._loss = np.random.Generator(np.random.SFC64(losses))
        self._bad = False

    def next(self, hop: Hop, count: int) -> tuple[Delays | None, Losses | None]:
        """Delay variation in seconds (``None``: there is none), and whether it is lost (``None``: none is),
        for each of the next ``count`` packets."""
        return self._delays(hop, count), self._losses(hop, count)

    def _delays(self, hop: Hop, count: int) -> Delays | None:
        if hop.jitter == 0:
            return None
        if hop.jitter_shape is Jitter.NORMAL:
            raw = self._delay.bit_generator.random_raw(-(-count // 4))  # 64 bits are four draws
            delays = _half_normal().take(raw.view(np.uint16)[:count] & _LAST_QUANTILE)
            delays *= hop.jitter
            return delays
        if hop.jitter_shape is Jitter.PARETO:
            return self._delay.pareto(3.0, count) * (hop.jitter / LOMAX)
        return None

    def _losses(self, hop: Hop, count: int) -> Losses | None:
        if not hop.up:
            return np.ones(count, np.bool_)
        if hop.loss == 0 and hop.burst is None:
            return None
        lost = self._loss.random(count) < hop.loss
        if hop.burst is not None:
            lost |= self._bursts(hop.burst, count)
        return lost

    def _bursts(self, burst: Burst, count: int) -> Losses:
        states = []
        for draw in self._loss.random(count).tolist():
            self._bad = draw >= burst.leave if self._bad else draw < burst.enter
            states.append(self._bad)
        return np.array(states)
