"""Deadlines of many things, a second apart: adding, moving and removing one costs the same at any number."""

from __future__ import annotations

import math
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Each key has one deadline, rounded up to a whole second."""

    def __init__(self) -> None:
        self._second: dict[K, int] = {}
        self._keys: dict[int, set[K]] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._second)

    def set(self, key: K, at: float) -> None:
        """Give ``key`` the deadline ``at``, instead of the one it may have."""
        self.discard(key)
        second = math.ceil(at)
        if second not in self._keys:
            self._keys[second] = set()
            heappush(self._heap, second)
        self._keys[second].add(key)
        self._second[key] = second

    def discard(self, key: K) -> None:
        """Forget ``key`` if it is there."""
        second = self._second.pop(key, None)
        if second is not None:
            self._keys[second].discard(key)

    @property
    def next(self) -> float | None:
        """The earliest deadline; None without keys."""
        while self._heap and not self._keys[self._heap[0]]:
            del self._keys[heappop(self._heap)]
        return float(self._heap[0]) if self._heap else None

    def due(self, now: float) -> list[K]:
        """Remove and return every key whose deadline has come."""
        keys: list[K] = []
        while self._heap and self._heap[0] <= now:
            found = self._keys.pop(heappop(self._heap))
            for key in found:
                del self._second[key]
            keys += found
        return keys
