"""Fair shares of what the links can carry, and whether one call more can be kept in keys.

A phone has one call at a time and its SAE draws the keys, so an SAE that draws is a call. Over a window in
which every call rekeys at least once, all who draw towards one key node may take equally much of what pools
and links give in it. A call that begins is admitted while that leaves everybody a key to rekey with, and is
refused otherwise, so that those that run go on. With full pools the shares are so large that nobody meets
them: then only the quota holds (:mod:`relay.kme.quota`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.errors import NoKeyMaterial

WINDOW = 90.0
"""Seconds: phones rekey every 60 s, give or take a tenth, and may fail once."""
KEYS_PER_CALL = 2.0
"""End keys that a call draws in a window: what a newcomer has to leave everybody."""
BUDGET_AGE = 0.25
"""Seconds for which a budget is believed: finding it costs as much as choosing a path."""
TARGETS_LIMIT = 4096
"""Key nodes remembered; the one first met is forgotten first."""


@dataclass(slots=True)
class _Draws:
    """What was drawn towards one key node in the last window."""

    taken: deque[tuple[float, str, int]] = field(default_factory=deque)
    by_sae: dict[str, int] = field(default_factory=dict)
    total: int = 0
    left: float = 0.0
    rate: float = 0.0
    told_at: float = -math.inf
    """When the budget was asked; ``left`` follows what is taken since."""

    def forget(self, before: float) -> None:
        while self.taken and self.taken[0][0] <= before:
            _, sae, number = self.taken.popleft()
            self.total -= number
            self.by_sae[sae] -= number
            if not self.by_sae[sae]:
                del self.by_sae[sae]


class NoShare(NoKeyMaterial):
    """There is key, but it is not for this SAE now. ``wait`` is in seconds."""

    code = "fair-share"

    def __init__(self, text: str, *, wait: float, code: str | None = None) -> None:
        super().__init__(text, code=code)
        self.wait = wait


class Sharing:
    """The shares at one key node, by the key node at the other end. Times in unix seconds."""

    def __init__(self) -> None:
        self._targets: dict[str, _Draws] = {}

    def calls(self, target: str, now: float) -> int:
        """SAEs that drew towards ``target`` within a window."""
        return len(self._draws(target, now).by_sae)

    def admit(
        self, sae: str, target: str, number: int, budget: Callable[[], tuple[int, float]], now: float
    ) -> None:
        """Refuse ``number`` end keys that are not ``sae``'s to take: raises :class:`NoShare`.

        ``budget`` tells the end keys that can be had now towards ``target``, and how many a second come
        after; it is asked again when what it said is old, or would refuse.
        """
        draws = self._draws(target, now)
        drawn = draws.by_sae.get(sae, 0)
        calls = len(draws.by_sae) + (not drawn)
        fresh = now - draws.told_at > BUDGET_AGE
        while True:
            if fresh:
                draws.left, draws.rate = budget()
                draws.told_at = now
            supply = draws.total + draws.left + draws.rate * WINDOW
            room = bool(drawn) or supply >= calls * KEYS_PER_CALL
            if room and (drawn + number) * calls <= supply:
                return
            if fresh:
                break
            fresh = True
        if draws.left < number:
            return  # there is nothing to share: whoever relays says what is missing
        wait = draws.taken[0][0] + WINDOW - now if draws.taken else math.inf
        if room:
            text = f"keys to {target} are low and shared by {calls} calls; this SAE has had its share"
            raise NoShare(text, wait=wait)
        carries, running = int(supply / KEYS_PER_CALL), len(draws.by_sae)
        text = f"the links to {target} can keep {carries} calls in keys and {running} are up; try again later"
        raise NoShare(text, wait=wait, code="no-capacity")

    def took(self, sae: str, target: str, number: int, now: float) -> None:
        """Note that ``sae`` has taken ``number`` end keys."""
        draws = self._draws(target, now)
        draws.taken.append((now, sae, number))
        draws.by_sae[sae] = draws.by_sae.get(sae, 0) + number
        draws.total += number
        draws.left -= number

    def _draws(self, target: str, now: float) -> _Draws:
        draws = self._targets.get(target)
        if draws is None:
            if len(self._targets) >= TARGETS_LIMIT:
                del self._targets[next(iter(self._targets))]
            draws = self._targets[target] = _Draws()
        draws.forget(now - WINDOW)
        return draws
