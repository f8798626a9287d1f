"""How long the playout buffer must hold packets back: the network's jitter, learned and forgotten.

After NetEQ, the buffer of WebRTC: the delay of every packet relative to the fastest of the last seconds goes
into a histogram that forgets, and 95 % of it must be covered, and more where that costs less than 10 ms for
each percent. For what comes out of its turn delay is added as long as a percent costs less than 80 ms: late
frames are still heard, lost ones are not.

Two things differ. The buckets are 5 ms wide, a quarter of NetEQ's, because playout here asks every 10 ms.
And a frame that comes out of the redundancy in a later packet counts as one that came out of its turn, at
that moment: so a path that loses packets teaches the buffer to wait for the repair, as long as that pays.
"""

from __future__ import annotations

from collections import deque

import numpy as np

BUCKET = 0.005
"""Seconds."""
SHORTEST, LONGEST = 0.005, 0.5
"""Seconds; the bounds of the target."""
QUANTILE = 0.95
FORGET = 0.983
"""Weight that a packet keeps from one to the next: about a second of memory at 50 packets/s."""
FORGET_LATENESS, FORGET_REPAIRS = 0.995, 0.998
"""The same where rare events count: four and ten seconds."""
COST_OF_LOSS = 8.0
"""Seconds of delay that the loss of all frames is worth: 80 ms for each percent (NetEQ has 20)."""
COST_OF_LATENESS = 1.0
"""The same for frames that come in their turn but late."""
WINDOW = 2.0
"""Seconds over which the fastest packet is remembered; it also sets how fast clock drift is followed."""


class Transit:
    """Delay of packets relative to the fastest within ``WINDOW``; all times in seconds.

    The absolute delay is unknowable without a common clock, and not needed.
    """

    def __init__(self) -> None:
        self._fastest: deque[tuple[float, float]] = deque()

    @property
    def base(self) -> float | None:
        """The least of arrival time minus media time; the drift between both clocks moves it."""
        return self._fastest[0][1] if self._fastest else None

    def observe(self, media_time: float, now: float) -> float:
        """The relative delay of a packet that carries ``media_time`` and arrives at ``now``."""
        transit = now - media_time
        while self._fastest and self._fastest[-1][1] >= transit:
            self._fastest.pop()
        self._fastest.append((now, transit))
        while self._fastest[0][0] < now - WINDOW:
            self._fastest.popleft()
        return transit - self._fastest[0][1]


class Histogram:
    """Shares of delays by bucket; old ones fade by ``forget`` with every new one."""

    def __init__(self, forget: float) -> None:
        self._forget = forget
        self._count = 0
        self.shares = np.zeros(round(LONGEST / BUCKET) + 1)
        self._waiting = BUCKET * np.arange(len(self.shares))

    def add(self, delay: float) -> None:
        """Count ``delay`` seconds. While there are few, all weigh the same."""
        self._count += 1
        forget = min(self._forget, 1 - 1 / self._count)
        self.shares *= forget
        self.shares[min(int(delay / BUCKET), len(self.shares) - 1)] += 1 - forget

    def worthwhile(self, cost: float) -> int:
        """The bucket up to which waiting pays, when missing all is worth ``cost`` seconds of delay."""
        return int((self._waiting - cost * self.shares.cumsum()).argmin())


class TargetDelay:
    """The delay that playout should keep, in seconds, learned from when frames become available."""

    def __init__(self, initial: float) -> None:
        self._recent = Histogram(FORGET)
        self._in_turn = Histogram(FORGET_LATENESS)
        self._repairs = Histogram(FORGET_REPAIRS)
        self._covering = initial
        self.seconds = initial

    def observe(self, delay: float) -> None:
        """A frame came in its turn, ``delay`` seconds later than the fastest would have."""
        self._recent.add(delay)
        self._in_turn.add(delay)
        covered = int(self._recent.shares.cumsum().searchsorted(QUANTILE))
        self._covering = BUCKET * (max(covered, self._in_turn.worthwhile(COST_OF_LATENESS)) + 1)
        self._repairs.add(0.0)
        self._decide()

    def observe_repair(self, delay: float) -> None:
        """A frame came out of its turn, or out of a later packet's redundancy, that many seconds late."""
        self._repairs.add(max(0.0, delay - self._covering + BUCKET))
        self._decide()

    def _decide(self) -> None:
        extra = BUCKET * self._repairs.worthwhile(COST_OF_LOSS)
        self.seconds = min(max(self._covering + extra, SHORTEST), LONGEST)
