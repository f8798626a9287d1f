"""What will become of the next packets on a path, as far as chance decides: drawn a block at a time. Pure.

Single packets and batches spend the same draws in the same order, so it does not matter how packets come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .chance import Delays, Stream
from .hop import Hop

BLOCK = 512
"""Packets whose fate is drawn at once: more would stall the packet that has to wait for the drawing."""


class Fates:
    """The fates of packets over ``hops``; ``stretches``: (first, end) of hops whose delays are added up."""

    def __init__(
        self, hops: Sequence[Hop], streams: Sequence[Stream], stretches: Sequence[tuple[int, int]]
    ) -> None:
        self._hops = hops
        self._streams = streams
        self._stretches = stretches
        self._at = BLOCK
        self._lossy = False
        self._lost_at: NDArray[np.intp] = np.zeros(0, np.intp)
        self._extras: list[Delays] = []
        self._listed: list[tuple[int, tuple[float, ...]]] = []

    def next(self) -> tuple[int, tuple[float, ...]]:
        """Of one packet: the place of the hop that loses it (beyond the last: none), and how much delay
        varies on each stretch, in seconds."""
        if self._at == BLOCK:
            self._draw()
        if not self._listed:
            extras = [extra.tolist() for extra in self._extras]
            self._listed = list(
                zip(
                    self._lost_at.tolist(), zip(*extras, strict=True) if extras else [()] * BLOCK, strict=True
                )
            )
        fate = self._listed[self._at]
        self._at += 1
        return fate

    def many(self, most: int) -> tuple[NDArray[np.intp], list[Delays], bool]:
        """The same of up to ``most`` packets, at least one; and whether any of them may be lost."""
        if self._at == BLOCK:
            self._draw()
        part = slice(self._at, min(self._at + most, BLOCK))
        self._at = part.stop
        return self._lost_at[part], [extra[part] for extra in self._extras], self._lossy

    def _draw(self) -> None:
        self._at = 0
        self._listed = []
        self._lost_at = np.full(BLOCK, len(self._hops))
        self._lossy = False
        delays: list[Delays | None] = []
        for place, (hop, stream) in enumerate(zip(self._hops, self._streams, strict=True)):
            delay, lost = stream.next(hop, BLOCK)
            delays.append(delay)
            if lost is not None:
                self._lossy = True
                self._lost_at[lost & (self._lost_at == len(self._hops))] = place
        self._extras = [
            sum((delay for delay in delays[first:end] if delay is not None), np.zeros(BLOCK))
            for first, end in self._stretches
        ]
