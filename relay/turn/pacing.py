"""When to read the clients' socket again, and how often to release: at once while little comes. Pure.

A wake-up costs as much as a dozen datagrams. While few come each is read as it arrives; from some thousand a
second on they are left to collect for a tick. The modelled path loses nothing by that, because its clock
starts when the kernel took a datagram in; where all cross it, the tick may be longer. Releases from the path
share wake-ups too: each takes what was due in the half tick before it and what is due in the half after, so
that a tick costs an error of half its length.
"""

from __future__ import annotations

from typing import Final

SHORTEST_TICK: Final = 250e-6
LONGEST_TICK: Final = 1e-3
"""Seconds."""
AIM: Final = 512
"""Datagrams that a batch should have."""
BUSY: Final = 2000.0
"""Datagrams a second from which on they are left to collect."""
SHORTEST_RELEASE: Final = 150e-6
LONGEST_RELEASE: Final = 500e-6
"""Seconds between releases from the modelled path."""
RELEASE_SLOPE: Final = 20e-9
"""Seconds that releases are further apart for each datagram a second: more of them share a wake-up."""
WAKE_UP: Final = 30e-6
"""Seconds, about, from an alarm's time to the first datagram that it sends."""
_MEMORY: Final = 0.02
"""Seconds over which the rate is averaged."""


class Pacing:
    """Follows the rate of what comes, and says when to read next."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._read_at: float | None = None

    @property
    def release_tick(self) -> float:
        """Seconds between releases from the modelled path, at least: those in between leave together."""
        return min(SHORTEST_RELEASE + RELEASE_SLOPE * self._rate, LONGEST_RELEASE)

    @property
    def release_lead(self) -> float:
        """Seconds by which a datagram may leave the modelled path before its time."""
        return self.release_tick / 2 + WAKE_UP

    def read(self, count: int, now: float, patience: float | None = None) -> float | None:
        """``count`` datagrams were read at ``now``; returns when to read next, None: as soon as one comes.

        ``patience``: seconds that all of them may wait.
        """
        if self._read_at is not None:
            elapsed = max(now - self._read_at, 1e-6)
            weight = min(1.0, elapsed / _MEMORY)
            self._rate += (count / elapsed - self._rate) * weight
        self._read_at = now
        if self._rate < BUSY:
            return None
        longest = LONGEST_TICK if patience is None else max(LONGEST_TICK, patience)
        return now + min(max(AIM / self._rate, SHORTEST_TICK), longest)
