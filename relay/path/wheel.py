"""Release times: what waits on the modelled path, in the order in which it comes out. Pure.

A binary heap and not a hashed wheel: at a path's few milliseconds, tens to thousands of packets wait at once.
There heapq's C costs about as much as buckets in Python do, and it releases at the exact time, not at a tick.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Items by release time; those of the same time come out in the order in which they went in."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def deadline(self) -> float | None:
        """When the next item is due, in seconds on the caller's clock; ``None`` when nothing waits."""
        return self._heap[0][0] if self._heap else None

    def schedule(self, at: float, item: T) -> None:
        """Let ``item`` wait until ``at``."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, item))

    def due(self, now: float) -> list[T]:
        """Everything whose time has come, in order."""
        items = []
        while self._heap and self._heap[0][0] <= now:
            items.append(heapq.heappop(self._heap)[2])
        return items
