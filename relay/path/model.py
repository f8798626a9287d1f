"""One direction of the modelled fibre path between two sites, hop by hop. Pure and seeded.

Each hop delays by its fibre (4.9 µs/km: the group index of silica, 1.468, over c), by a fixed processing time
and by jitter, and may lose the packet. All figures but the fibre's are modelled, not measured on any
operator's network. Release times never run backwards within a flow, so jitter does not reorder.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

FIBRE_DELAY = 4.9e-6
"""Seconds per km."""
FLOWS_KEPT = 65_536
"""Flows whose last release is remembered; the oldest is forgotten first (it is long past by then)."""


class Jitter(enum.Enum):
    """Shape of a hop's delay variation; all are cut at zero, so that a hop is never faster than its fibre."""

    NONE = "none"
    NORMAL = "normal"
    PARETO = "pareto"


@dataclass(frozen=True, slots=True)
class Burst:
    """Gilbert-Elliott loss: a two-state chain that moves once a packet, and loses all of the bad state."""

    enter: float
    """Probability that a good hop turns bad before a packet."""
    leave: float
    """Probability that a bad hop turns good before a packet; the mean burst is 1/leave packets."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One link of the path and the node behind it."""

    name: str
    km: float
    processing: float = 50e-6
    """Seconds that the node behind the link takes for a packet."""
    jitter: float = 20e-6
    """Seconds: the standard deviation (normal) or the mean (Pareto) of what comes on top."""
    jitter_shape: Jitter = Jitter.NORMAL
    loss: float = 0.0
    """Probability that a packet is lost here, independent of all others."""
    burst: Burst | None = None
    up: bool = True
    """A hop that is down loses everything."""

    @property
    def floor(self) -> float:
        """Seconds that the fastest packet takes."""
        return self.km * FIBRE_DELAY + self.processing


@dataclass(slots=True)
class HopStatistics:
    """What crossed one hop."""

    passed: int = 0
    lost: int = 0


@dataclass(slots=True)
class _HopState:
    """A hop, its own random stream and the state of its loss chain."""

    hop: Hop
    draw: random.Random
    bad: bool = False
    statistics: HopStatistics = field(default_factory=HopStatistics)

    def loses(self) -> bool:
        hop = self.hop
        if not hop.up:
            return True
        if hop.burst is not None:
            turn = hop.burst.leave if self.bad else hop.burst.enter
            if self.draw.random() < turn:
                self.bad = not self.bad
        return self.bad or (hop.loss > 0 and self.draw.random() < hop.loss)

    def extra(self) -> float:
        hop = self.hop
        if hop.jitter <= 0 or hop.jitter_shape is Jitter.NONE:
            return 0.0
        if hop.jitter_shape is Jitter.NORMAL:
            return max(0.0, self.draw.gauss(hop.jitter, hop.jitter))
        # Shape 3 has a mean of 1.5 and a finite variance; less one, it starts at zero with a mean of a half.
        return 2 * hop.jitter * (self.draw.paretovariate(3) - 1)


class Path:
    """What a packet in one direction goes through.

    ``release`` is the whole interface of the data plane; ``replace`` changes hops under live flows and keeps
    their order. The same seed, hops and calls give the same results.
    """

    def __init__(self, hops: Sequence[Hop], *, seed: int) -> None:
        self._seed = seed
        self._last: dict[Hashable, float] = {}
        self._states: dict[str, _HopState] = {}
        self.replace(hops)

    def replace(self, hops: Sequence[Hop]) -> None:
        """Go over ``hops`` from the next packet on; a hop that stays keeps its loss state and counters."""
        if len({hop.name for hop in hops}) != len(hops):
            raise ValueError("two hops of a path have the same name")
        kept = self._states
        self._states = {}
        for hop in hops:
            state = kept.get(hop.name) or _HopState(hop, random.Random(f"{self._seed}/{hop.name}"))
            state.hop = hop
            self._states[hop.name] = state
        self.hops = tuple(hops)
        self.km = sum(hop.km for hop in hops)
        self.propagation = sum(hop.floor for hop in hops)

    @property
    def statistics(self) -> dict[str, HopStatistics]:
        """Counters by hop."""
        return {name: state.statistics for name, state in self._states.items()}

    def release(self, flow: Hashable, size: int, now: float) -> float | None:
        """When a packet of ``size`` bytes that enters at ``now`` comes out; ``None`` if it is lost.

        Seconds on the caller's clock. Never before an earlier packet of the same ``flow``.
        """
        at = now
        for state in self._states.values():
            if state.loses():
                state.statistics.lost += 1
                return None
            state.statistics.passed += 1
            at += state.hop.floor + state.extra()
        at = max(at, self._last.pop(flow, at))
        self._last[flow] = at
        if len(self._last) > FLOWS_KEPT:
            del self._last[next(iter(self._last))]
        return at
