"""Release times: what waits on the modelled path, in the order in which it comes out. Pure.

A binary heap and not a hashed wheel: at a path's few milliseconds, tens to thousands of packets wait at once.
There heapq's C costs about as much as buckets in Python do, and it releases at the exact time, not at a tick.
What comes in batches is kept sorted in an array instead.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

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


class BatchWheel:
    """The same for numbers that come in batches. Each batch costs one merge, however many wait."""

    def __init__(self) -> None:
        self._times: NDArray[np.float64] = np.zeros(0)
        self._items: NDArray[np.intp] = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def deadline(self) -> float | None:
        """When the next item is due, in seconds on the caller's clock; ``None`` when nothing waits."""
        return self._times.item(0) if len(self._times) else None

    def schedule(self, times: NDArray[np.float64], items: NDArray[np.intp]) -> None:
        """Let each of ``items`` wait until its time."""
        times, items = np.concatenate((self._times, times)), np.concatenate((self._items, items))
        order = times.argsort(kind="stable")  # finds the two runs, one of them nearly sorted, and merges them
        self._times, self._items = times[order], items[order]

    def due(self, now: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Everything whose time has come, in order, and those times."""
        count = self._times.searchsorted(now, "right")
        items, self._items = self._items[:count], self._items[count:]
        times, self._times = self._times[:count], self._times[count:]
        return items, times

    def remove(self, unwanted: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Take out and return what is marked in ``unwanted``, which follows the order of ``waiting``."""
        removed = self._items[unwanted]
        self._times, self._items = self._times[~unwanted], self._items[~unwanted]
        return removed

    @property
    def waiting(self) -> NDArray[np.intp]:
        """What waits, in the order in which it comes out."""
        return self._items
