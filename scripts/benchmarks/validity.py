"""Whether a run of a benchmark measured what it set out to, before anybody believes its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator

PEAK = 0.5
"""Likeness of the spoken phrase and what was heard of it, below which it was not found (1: the same)."""
SIGMAS = 4.0
"""Standard deviations by which a count may be off: one row in 16,000 is, by chance."""
EDGES = 75
"""Packets at both ends of a call that one phone sends before the other listens, or after it did."""
CLOCKS = 0.001
"""Seconds by which a sound may be early: the phones' first samples are known no better."""


def loss_tolerance(loss: float, burst: float, packets: int) -> float:
    """How far the share of losses may be off ``loss`` by chance, of ``packets``, ``burst`` in a row."""
    return SIGMAS * math.sqrt(loss * (1 - loss) * 2 * burst / packets) + SIGMAS / packets


def count_tolerance(loss: float, burst: float, packets: int) -> float:
    """How far the listener's share of losses may be off the path's, of ``packets`` in both directions."""
    edges = 2 * min(EDGES, packets // 2)
    return (SIGMAS * math.sqrt(loss * (1 - loss) * 2 * burst * edges) + SIGMAS) / packets


def doubts(
    *,
    delay: float,
    path: float,
    peak: float,
    loss: float,
    nominal: float,
    burst: float,
    packets: int,
    counted: float,
) -> Iterator[str]:
    """Why a row is spoiled; nothing for one that is not.

    ``delay`` is from mouth to ear and ``path`` the least that it can be, in seconds; ``loss`` is the share of
    ``packets`` that the path lost, ``nominal`` what it was told to lose, ``counted`` what was missed.
    """
    if delay < path - CLOCKS:
        yield f"heard after {1000 * delay:.0f} ms, before the path's {1000 * path:.0f} ms"
    if peak < PEAK:
        yield f"the phrase was not found again (likeness {peak:.2f})"
    if abs(loss - nominal) > loss_tolerance(nominal, burst, packets):
        yield f"the path lost {100 * loss:.1f} % in the place of {100 * nominal:.1f} %"
    if abs(counted - loss) > count_tolerance(nominal, burst, packets):
        yield f"the listener missed {100 * counted:.1f} % where the path lost {100 * loss:.1f} %"
