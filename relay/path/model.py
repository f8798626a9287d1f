"""One direction of the modelled fibre path between two sites, hop by hop. Pure and seeded.

Each hop delays by its fibre, by a fixed processing time and by jitter, and may lose the packet or hold it
in a queue. Unless reordering is asked for, release times never run backwards within a flow.

What chance decides is drawn for a block of packets at once and for all hops together: a packet over the 15
hops between Beijing and Hefei costs no more than a packet over one. ``release`` takes packets one by one and
``release_many`` as arrays; both give the same times to the same packets.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relay.errors import UsageError

from .chance import Stream
from .fates import Fates
from .hop import FIBRE_DELAY, Burst, Hop, Jitter
from .queue import TailDrop

__all__ = ["FIBRE_DELAY", "Burst", "Hop", "HopStatistics", "Jitter", "Path"]

FLOWS_KEPT = 65_536
"""Flows whose last release is remembered; the oldest is forgotten first (it is long past by then)."""
FEW = 8
"""Packets up to which a batch is dealt with one by one: an array's fixed costs are about as much."""

Times = NDArray[np.float64]


@dataclass(slots=True)
class HopStatistics:
    """What crossed one hop, and what did not."""

    passed: int = 0
    lost: int = 0
    """By chance, or because the hop was down."""
    dropped: int = 0
    """At the tail of the hop's queue."""


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
    their order. ``reorder``: jitter may let a packet overtake an earlier one of its flow. The same seed, hops
    and calls give the same results. A path without hops leads nowhere. Raises ``UsageError`` for two hops of
    one name.
    """

    def __init__(self, hops: Sequence[Hop], *, seed: int, reorder: bool = False) -> None:
        self._seed = seed
        self._reorder = reorder
        self._flows: dict[Hashable, int] = {}
        self._last: Times = np.zeros(256)
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
        self._fates = Fates(
            self.hops,
            [self._streams[hop.name] for hop in hops],
            [(stretch.first, stretch.end) for stretch in self._stretches],
        )

    def outage(self, hop: str, start: float, end: float) -> None:
        """Lose everything, of every flow, that enters the hop called ``hop`` from ``start`` until ``end``."""
        self._outages.append((hop, start, end))

    @property
    def statistics(self) -> dict[str, HopStatistics]:
        """Counters by hop, also of hops that the path no longer has."""
        self._settle()
        return self._statistics

    def flow(self, name: Hashable) -> int:
        """The number by which ``release_many`` knows a flow; the longest known gives way to a new one."""
        known = self._flows.get(name)
        if known is not None:
            return known
        number = len(self._flows)
        if number == FLOWS_KEPT:
            number = self._flows.pop(next(iter(self._flows)))
        elif number == len(self._last):
            self._last = np.concatenate((self._last, np.zeros(number)))
        self._flows[name] = number
        self._last[number] = 0.0
        return number

    def release(self, flow: Hashable, size: int, now: float) -> float | None:
        """When a packet of ``size`` bytes that enters at ``now`` comes out; ``None`` if it is lost.

        Seconds on the caller's clock. Never before an earlier packet of the same ``flow``, unless the path
        reorders.
        """
        return self._release(self.flow(flow), size, now)

    def release_many(self, flows: NDArray[np.intp], sizes: NDArray[np.integer], arrivals: Times) -> Times:
        """``release`` of many packets in their order; NaN for those that are lost."""
        if len(flows) <= FEW or any(each.queue is not None for each in self._stretches):
            packets = zip(flows.tolist(), sizes.tolist(), arrivals.tolist(), strict=True)
            found = [self._release(*packet) for packet in packets]
            return np.array([np.nan if at is None else at for at in found])
        if not self._stretches:
            self._offered += len(flows)
            return np.full(len(flows), np.nan)
        released = np.empty(len(flows))
        start = 0
        while start < len(flows):
            lost_at, extras, lossy = self._fates.many(len(flows) - start)
            part = slice(start, start + len(lost_at))
            entered = arrivals[part]
            if self._outages:
                lost_at, lossy = self._cut_many(lost_at, entered), True
            at = entered + extras[0]
            at += self._stretches[0].floor
            if lossy:
                self._lose(lost_at, at)
            released[part] = at
            start = part.stop
        self._offered += len(flows)
        if not self._reorder:
            self._in_order(flows, released)
        return released

    def _release(self, flow: int, size: int, now: float) -> float | None:
        self._offered += 1
        lost_at, extras = self._fates.next()
        if self._outages:
            lost_at = min(lost_at, self._cut_at(now))
        at = now
        for stretch, extra in zip(self._stretches, extras, strict=True):
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
        if self._reorder:
            return at
        last = self._last.item(flow)
        if at <= last:  # just after it: single packets and batches wait in wheels of their own
            at = math.nextafter(last, math.inf)
        self._last[flow] = at
        return at

    def _lose(self, lost_at: NDArray[np.intp], released: Times) -> None:
        """Mark what chance loses in ``released``, and count it by hop and by the length of its run."""
        lost = lost_at < len(self.hops)
        released[lost] = np.nan
        for place, count in enumerate(np.bincount(lost_at[lost], minlength=len(self.hops)).tolist()):
            self._lost[place] += count
        passed = np.flatnonzero(~lost)
        if not len(passed):
            self._run += len(lost)
            return
        runs = np.diff(passed, prepend=-1) - 1
        runs[0] += self._run
        self.loss_runs.update(runs[runs > 0].tolist())
        self._run = len(lost) - 1 - int(passed[-1])

    def _in_order(self, flows: NDArray[np.intp], released: Times) -> None:
        """Let no packet come out before an earlier one of its flow."""
        order = flows.astype(np.uint16).argsort(kind="stable")  # 16 bits: numpy counts instead of comparing
        times = released[order]
        passed = times == times  # NaN, which is lost, equals nothing
        if np.count_nonzero(passed) < len(passed):
            order, times = order[passed], times[passed]
            if not len(order):
                return
        named = flows[order]
        # A flow's first may wait for one of an earlier batch, and the others for the one before them.
        np.maximum(times, self._last[named], out=times)
        same = named[1:] == named[:-1]
        # As often as the most packets of one flow that have to wait for the same one before them.
        while len(behind := (same & (times[1:] < times[:-1])).nonzero()[0]):
            times[behind + 1] = times[behind]
        released[order] = times
        self._last[named] = times

    def _cut_at(self, now: float) -> int:
        """Place of the first hop that is out when a packet that enters the path at ``now`` gets there."""
        self._outages = [outage for outage in self._outages if outage[2] > now]
        hit = len(self.hops)
        for name, start, end in self._outages:
            for place, hop in enumerate(self.hops[:hit]):
                if hop.name == name and start <= now + self._entered[place] < end:
                    hit = place
        return hit

    def _cut_many(self, lost_at: NDArray[np.intp], entered: Times) -> NDArray[np.intp]:
        """``lost_at``, brought forward to the first hop that is out when its packet gets there."""
        cut = [self._cut_at(at) for at in entered.tolist()]
        return np.minimum(lost_at, cut)

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
