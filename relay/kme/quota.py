"""How many keys an SAE may take in a time: a token bucket each, so that one cannot drain what all share."""

from __future__ import annotations

from dataclasses import dataclass

TABLE_LIMIT = 65_536
"""SAEs remembered; those whose bucket is full again are forgotten first, and lose nothing by it."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    counted_at: float


class Quota:
    """``rate`` keys a second in the long run, ``burst`` keys at once, for every SAE. Times in seconds."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def take(self, sae_id: str, number: int, now: float) -> float:
        """Take ``number`` keys: 0 when granted, else the seconds to wait; nothing is taken then.

        A number above the burst is never granted: infinity.
        """
        if number > self._burst:
            return float("inf")
        bucket = self._buckets.get(sae_id)
        if bucket is None:
            if len(self._buckets) >= TABLE_LIMIT:
                self._forget(now)
            bucket = self._buckets[sae_id] = _Bucket(self._burst, now)
        bucket.tokens = self._level(bucket, now)
        bucket.counted_at = max(bucket.counted_at, now)
        if bucket.tokens < number:
            return (number - bucket.tokens) / self._rate
        bucket.tokens -= number
        return 0.0

    def give_back(self, sae_id: str, number: int) -> None:
        """Undo a :meth:`take` for which no keys were had."""
        if (bucket := self._buckets.get(sae_id)) is not None:
            bucket.tokens = min(self._burst, bucket.tokens + number)

    def _level(self, bucket: _Bucket, now: float) -> float:
        return min(self._burst, bucket.tokens + self._rate * max(0.0, now - bucket.counted_at))

    def _forget(self, now: float) -> None:
        full = [name for name, bucket in self._buckets.items() if self._level(bucket, now) >= self._burst]
        for name in full or [next(iter(self._buckets))]:
            del self._buckets[name]
