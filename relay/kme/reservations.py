"""Which calls count on which links: a call that began has its part of every link it draws over, network-wide.

A phone has one call at a time and its SAE draws the keys, so an SAE that draws towards a key node is a call.
It keeps its part until it has asked for no key for longer than a rekey takes, also while its rekeys fail, and
moves with it when its keys take another way. What a link can keep is what it makes, not what lies in its
pool: pools carry the moments in which more is asked than made. Times in unix seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

HOLD = 90.0
"""Seconds that a part is kept after the last request: phones rekey every 60 s or so, and retry soon."""
CALL_SECONDS = 54.0
"""A call takes an end key at most this often, once it is set up."""
KEYS_PER_CALL = 2.0
"""End keys that a call draws within :data:`HOLD`: what it needs of a pool that nothing fills."""


class WayLink(NamedTuple):
    """A link on the way of a call's keys: end keys a second that it makes, and end keys in its pool."""

    name: str
    rate: float
    left: float

    @property
    def carries(self) -> int:
        """Calls that it can keep in keys."""
        return int(self.rate * CALL_SECONDS if self.rate > 0 else self.left / KEYS_PER_CALL)


@dataclass(slots=True)
class _Part:
    links: tuple[str, ...]
    until: float
    kept: bool = False
    """Whether a key was had: the call has begun."""


class Reservations:
    """The parts of all calls that draw in this process, and the numbers of those elsewhere."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], _Part] = {}  # those not renewed for longest come first
        self._carried: Counter[str] = Counter()
        self.elsewhere: Mapping[str, int] = {}
        """By link: calls whose keys are drawn at nodes in other processes."""

    def holds(self, sae: str, target: str, now: float) -> bool:
        """Whether this is a call that runs."""
        self._expire(now)
        return (sae, target) in self._parts

    def carried(self, link: str) -> int:
        """Calls that count on ``link``."""
        return self._carried[link] + self.elsewhere.get(link, 0)

    def here(self, now: float) -> dict[str, int]:
        """By link: the calls that draw in this process."""
        self._expire(now)
        return dict(self._carried)

    def full(self, way: Sequence[WayLink]) -> WayLink | None:
        """The first link that cannot take one call more."""
        return next((link for link in way if self.carried(link.name) + 1 > link.carries), None)

    def renew(self, sae: str, target: str, way: Sequence[WayLink], now: float) -> None:
        """Begin a part, or keep it; without a way it stays where it was."""
        part = self._parts.pop((sae, target), None) or _Part((), 0.0)
        if way:
            self._carried.subtract(part.links)
            part.links = tuple(link.name for link in way)
            self._carried.update(part.links)
        part.until = now + HOLD
        self._parts[sae, target] = part

    def keep(self, sae: str, target: str) -> None:
        """The call has its key."""
        if (part := self._parts.get((sae, target))) is not None:
            part.kept = True

    def withdraw(self, sae: str, target: str) -> None:
        """The call got no key; when it had none before, it does not begin."""
        part = self._parts.get((sae, target))
        if part is not None and not part.kept:
            self._drop((sae, target))

    def _expire(self, now: float) -> None:
        while self._parts and next(iter(self._parts.values())).until <= now:
            self._drop(next(iter(self._parts)))

    def _drop(self, call: tuple[str, str]) -> None:
        self._carried.subtract(self._parts.pop(call).links)
