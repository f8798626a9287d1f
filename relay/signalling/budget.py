"""How often someone may do something: a token bucket for each key, in a table of bounded size."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` at once, and ``per_second`` in the long run."""

    per_second: float
    burst: float


class Budget:
    """Token buckets by key. A bucket that is full again is no different from none, and is forgotten.

    When ``capacity`` keys are in use at once, new keys share one bucket: a flood of keys costs no memory and
    slows down only keys that have not been seen.
    """

    def __init__(self, rate: Rate, *, capacity: int = 4096) -> None:
        self._rate = rate
        self._capacity = capacity
        self._full_at: dict[Hashable, float] = {}
        self._crowd = 0.0

    def __len__(self) -> int:
        return len(self._full_at)

    def spend(self, key: Hashable, now: float, amount: float = 1.0) -> bool:
        """Take ``amount`` tokens from the bucket of ``key``; false, and nothing taken, if it has too few."""
        if key not in self._full_at and len(self._full_at) >= self._capacity:
            self._full_at = {k: at for k, at in self._full_at.items() if at > now}
        crowded = key not in self._full_at and len(self._full_at) >= self._capacity
        full_at = self._crowd if crowded else self._full_at.get(key, 0.0)
        full_at = max(full_at, now) + amount / self._rate.per_second
        # A bucket is described by when it will be full: that much refilling is missing from it.
        if full_at - now > self._rate.burst / self._rate.per_second + 1e-9:
            return False
        if crowded:
            self._crowd = full_at
        else:
            self._full_at[key] = full_at
        return True


def source(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Who counts as one source: an IPv4 address, or an IPv6 /64, which is what one customer has."""
    bits = 64 if ":" in address else 32
    return ipaddress.ip_network(f"{address.partition('%')[0]}/{bits}", strict=False)
