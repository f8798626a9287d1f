"""One link of a path and the node behind it: what it does to a packet, as figures. Pure.

All figures but the fibre's are modelled, not measured on any operator's network: 50 µs for a node (optical
line card, forwarding, transport framing) and 20 µs of jitter for lightly loaded packet transport.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from relay.errors import UsageError

FIBRE_DELAY = 4.9e-6
"""Seconds per km: the group index of silica at 1550 nm, 1.468, over c."""


class Jitter(enum.Enum):
    """Shape of a hop's delay variation. It only adds: nothing is faster than fibre and node."""

    NONE = "none"
    NORMAL = "normal"
    """The upper half of a normal distribution."""
    PARETO = "pareto"
    """A Pareto (Lomax) distribution with tail exponent 3: mostly nothing, now and then a lot."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Gilbert-Elliott loss: a two-state chain that moves once a packet, and loses all of the bad state."""

    enter: float
    """Probability that a good hop turns bad before a packet."""
    leave: float
    """Probability that a bad hop turns good before a packet; the mean burst is 1/leave packets."""

    def __post_init__(self) -> None:
        if not 0 <= self.enter <= 1 or not 0 < self.leave <= 1:
            raise UsageError("a burst's probabilities go from 0 to 1, and it must be possible to leave it")

    @property
    def loss(self) -> float:
        """Share of packets lost in the long run."""
        return self.enter / (self.enter + self.leave)


@dataclass(frozen=True, slots=True)
class Hop:
    """One link of the path and the node behind it. A packet is queued, sent, maybe lost, then delayed."""

    name: str
    km: float
    processing: float = 50e-6
    """Seconds that the node behind the link takes for a packet."""
    jitter: float = 20e-6
    """Seconds: the standard deviation of what comes on top."""
    jitter_shape: Jitter = Jitter.NORMAL
    loss: float = 0.0
    """Probability that a packet is lost here, independent of all others."""
    burst: Burst | None = None
    up: bool = True
    """A hop that is down loses everything."""
    rate: float | None = None
    """Bits a second, onto the link; ``None``: fast enough not to matter."""
    queue_packets: int | None = None
    queue_bytes: int | None = None
    """What may wait in front of a link that has a ``rate``; more is dropped at the tail."""

    def __post_init__(self) -> None:
        times = (self.km, self.processing, self.jitter)
        if not all(math.isfinite(time) and time >= 0 for time in times):
            raise UsageError(f"hop {self.name}: length, processing time and jitter cannot be negative")
        if not 0 <= self.loss <= 1:
            raise UsageError(f"hop {self.name}: loss {self.loss:g} is no probability from 0 to 1")
        if self.rate is None:
            if self.queue_packets is not None or self.queue_bytes is not None:
                raise UsageError(f"hop {self.name}: a queue needs a rate")
        elif not (math.isfinite(self.rate) and self.rate > 0):
            raise UsageError(f"hop {self.name}: a rate is above zero")

    @property
    def floor(self) -> float:
        """Seconds that the fastest packet takes, without the time to send it at ``rate``."""
        return self.km * FIBRE_DELAY + self.processing
