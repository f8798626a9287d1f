"""Whether the server can take one more without those it has noticing: by what it measures of itself. Pure.

Three figures tell: how much of its core the server's thread uses to carry media, how many datagrams left
the modelled path late, and how many sockets it may still open. ``scripts/bench relay`` fills a server: as
long as it says that it has room nothing is lost and hardly a release is late, and soon after that they are.
Once full it stays so until there is room for more than one call. Answering requests is work that passes: a
thousand phones that come at once after an outage are no reason to send one away. Should it cost the calls
that are there, their releases tell.
"""

from __future__ import annotations

from typing import Final

FULL: Final = 0.80
ROOM: Final = 0.70
"""Shares of the core's time."""
LATE: Final = 0.01
"""Share of releases that come later than ``LATE_AFTER``."""
LATE_AFTER: Final = 0.001
"""Seconds: beyond what the path's own jitter hides."""
LEAST_DESCRIPTORS: Final = 64
"""With fewer left for sockets and files the server is full: clients over TCP, and the rest of the process,
still need some."""
LATE_PERIODS: Final = 2
"""Measurements in a row: one may be the machine's own hiccup."""
LEAST_RELEASES: Final = 100
"""Fewer than these say nothing about lateness."""
PERIOD: Final = 0.25
"""Seconds between measurements."""
_WEIGHT: Final = 0.3
"""Of the newest measurement: about a second is remembered."""


class Admission:
    """Follows the server's load.

    ``busy``: the share of its core that it uses, and ``carrying``: that share without what goes into
    answering requests, both over about a second.
    """

    def __init__(self) -> None:
        self.busy = 0.0
        self.carrying = 0.0
        self._overloaded = False
        self._late_periods = 0
        self._scarce = False
        self._before: tuple[float, float, float, int, int] | None = None

    @property
    def full(self) -> bool:
        """Whether one more would be to the cost of those that are there."""
        return self._overloaded or self._scarce

    def count_descriptors(self, left: int) -> None:
        """Take in how many more sockets the process may open."""
        self._scarce = left < LEAST_DESCRIPTORS

    def measure(self, now: float, processor: float, answering: float, released: int, late: int) -> None:
        """Take in the clock, the thread's time on the processor and what of that went into answering requests
        (all in seconds), and counts of releases."""
        figures = (now, processor, answering, released, late)
        if self._before is not None:
            elapsed, used, answered, came, were_late = (
                figure - before for figure, before in zip(figures, self._before, strict=True)
            )
            if elapsed > 0:
                self.busy += _WEIGHT * (min(1.0, used / elapsed) - self.busy)
                self.carrying += _WEIGHT * (min(1.0, (used - answered) / elapsed) - self.carrying)
            is_late = came >= LEAST_RELEASES and were_late > LATE * came
            self._late_periods = self._late_periods + 1 if is_late else 0
            is_busy = self.carrying > (ROOM if self._overloaded else FULL)
            self._overloaded = is_busy or self._late_periods >= LATE_PERIODS
        self._before = figures
