"""One direction of the modelled fibre path between two sites, hop by hop. Pure and seeded.

Each hop delays by its fibre, by a fixed processing time and by jitter, and may lose the packet or hold it
in a queue. Release times never run backwards within a flow, so jitter does not reorder.

What chance decides is drawn for a block of packets at once and for all hops together: a packet over the 15
hops between Beijing and Hefei costs no more than a packet over one.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from relay.errors import UsageError

from .chance import Stream
from .hop import FIBRE_DELAY, Burst, Hop, Jitter
from .queue import TailDrop

__all__ = ["FIBRE_DELAY", "Burst", "Hop", "HopStatistics", "Jitter", "Path"]

FLOWS_KEPT = 65_536
"""Flows whose last release is remembered; the oldest is forgotten first (it is long past by then)."""
BLOCK = 256
"""Packets whose fate is drawn at once: more would stall the packet that has to wait for the drawing."""


@dataclass(slots=True)
class HopStatistics:
    """What crossed one hop, and what did not."""

    passed: int = 0
    lost: int = 0
    """By chance, or because the hop was down."""
    dropped: int = 0
    """At the tail of the hop's queue."""


class _Fate(NamedTuple):
    """What will become of one packet, as far as chance decides."""

    lost_at: int
    """Place of the hop that loses it; beyond the last hop: none does."""
    extras: tuple[float, ...]
    """Delay variation in seconds for each stretch."""


@dataclass(slots=True)
class _Stretch:
    """A queue, if there is one, and the hops from there on to the next queue."""

    queue: TailDrop | None
    first: int
    end: int
    floor: float


class Path:
    """What a packet in one direction goes through.

    ``release`` is the whole interface of the data plane; ``replace`` changes hops under live flows and keeps
    their order. The same seed, hops and calls give the same results. A path without hops leads nowhere.
    Raises ``UsageError`` for two hops of one name.
    """

    def __init__(self, hops: Sequence[Hop], *, seed: int) -> None:
        self._seed = seed
        self._last: dict[Hashable, float] = {}
        self._streams: dict[str, Stream] = {}
        self._statistics: dict[str, HopStatistics] = {}
        self._outages: list[tuple[str, float, float]] = []
        self._offered = 0
        self._run = 0
        self._stretches: list[_Stretch] = []
        self.hops: tuple[Hop, ...] = ()
        self.loss_runs: Counter[int] = Counter()
        """Runs by how many packets in a row, of whatever flow, were lost; the present run is not in yet."""
        self.replace(hops)

    def replace(self, hops: Sequence[Hop]) -> None:
        """Go over ``hops`` from the next packet on.

        A hop that stays keeps its stream of luck and its counters, and its queue keeps what waits in it.
        """
        if len({hop.name for hop in hops}) != len(hops):
            raise UsageError("two hops of a path have the same name; name each link once")
        self._settle()
        before = {self.hops[stretch.first]: stretch.queue for stretch in self._stretches}
        queues = {_queueing(hop): queue for hop, queue in before.items()}
        self.hops = tuple(hops)
        self.km = sum(hop.km for hop in hops)
        self.propagation = sum(hop.floor for hop in hops)
        for hop in hops:
            self._streams.setdefault(hop.name, Stream((self._seed, *hop.name.encode())))
            self._statistics.setdefault(hop.name, HopStatistics())
        starts = [place for place, hop in enumerate(hops) if place == 0 or hop.rate is not None]
        self._stretches = []
        for first, end in itertools.pairwise([*starts, len(hops)]):
            queue = queues.get(_queueing(hops[first]))
            if queue is None:
                queue = _queue(hops[first])
            floor = sum(hop.floor for hop in hops[first:end])
            self._stretches.append(_Stretch(queue, first, end, floor))
        self._entered = [sum(hop.floor for hop in hops[:place]) for place in range(len(hops))]
        self._lost = [0] * len(hops)
        self._dropped = [0] * len(hops)
        self._fates = self._draw()

    def outage(self, hop: str, start: float, end: float) -> None:
        """Lose everything, of every flow, that enters the hop called ``hop`` from ``start`` until ``end``."""
        self._outages.append((hop, start, end))

    @property
    def statistics(self) -> dict[str, HopStatistics]:
        """Counters by hop, also of hops that the path no longer has."""
        self._settle()
        return self._statistics

    def release(self, flow: Hashable, size: int, now: float) -> float | None:
        """When a packet of ``size`` bytes that enters at ``now`` comes out; ``None`` if it is lost.

        Seconds on the caller's clock. Never before an earlier packet of the same ``flow``.
        """
        self._offered += 1
        fate = next(self._fates)
        lost_at = fate.lost_at if not self._outages else min(fate.lost_at, self._cut_at(now))
        at = now
        for stretch, extra in zip(self._stretches, fate.extras, strict=True):
            if stretch.queue is not None:
                departed = stretch.queue.depart(size, at)
                if departed is None:
                    self._dropped[stretch.first] += 1
                    self._run += 1
                    return None
                at = departed
            if lost_at < stretch.end:
                self._lost[lost_at] += 1
                self._run += 1
                return None
            at += stretch.floor + extra
        if not self._stretches:
            return None
        if self._run:
            self.loss_runs[self._run] += 1
            self._run = 0
        at = max(at, self._last.pop(flow, at))
        self._last[flow] = at
        if len(self._last) > FLOWS_KEPT:
            del self._last[next(iter(self._last))]
        return at

    def _draw(self) -> Iterator[_Fate]:
        """The fates of all packets to come, in order."""
        while True:
            draws = [self._streams[hop.name].next(hop, BLOCK) for hop in self.hops]
            lost_at = np.full(BLOCK, len(self.hops))
            for place in reversed(range(len(self.hops))):
                lost_at[draws[place][1]] = place
            extras = [
                sum(
                    (draws[place][0] for place in range(stretch.first, stretch.end)), np.zeros(BLOCK)
                ).tolist()
                for stretch in self._stretches
            ]
            yield from map(_Fate, lost_at.tolist(), zip(*extras, strict=True) if extras else [()] * BLOCK)

    def _cut_at(self, now: float) -> int:
        """Place of the first hop that is out when a packet that enters the path at ``now`` gets there."""
        self._outages = [outage for outage in self._outages if outage[2] > now]
        hit = len(self.hops)
        for name, start, end in self._outages:
            for place, hop in enumerate(self.hops[:hit]):
                if hop.name == name and start <= now + self._entered[place] < end:
                    hit = place
        return hit

    def _settle(self) -> None:
        """Bring the counters of the hops up to date; ``release`` counts only what does not pass."""
        passing = self._offered
        for place, hop in enumerate(self.hops):
            statistics = self._statistics[hop.name]
            passing -= self._lost[place] + self._dropped[place]
            statistics.passed += passing
            statistics.lost += self._lost[place]
            statistics.dropped += self._dropped[place]
        self._offered = 0
        self._lost = [0] * len(self.hops)
        self._dropped = [0] * len(self.hops)


def _queue(hop: Hop) -> TailDrop | None:
    return None if hop.rate is None else TailDrop(hop.rate, hop.queue_packets, hop.queue_bytes)


def _queueing(hop: Hop) -> tuple[object, ...]:
    """What a queue has to have in common with another to take its place."""
    return hop.name, hop.rate, hop.queue_packets, hop.queue_bytes
