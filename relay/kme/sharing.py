"""Fair shares of what the links can carry, and whether one call more can be kept in keys.

A call that begins is admitted while every link on its way makes key for one more (see
:mod:`relay.kme.reservations`) and the pools are not empty, and is refused otherwise, so that those that run
go on. Whoever runs gets the keys of its rekeys; what is drawn beyond them is shared in equal parts. With full
pools these are so large that nobody meets them: then only the quota holds (:mod:`relay.kme.quota`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay.errors import NoKeyMaterial

from .reservations import HOLD, KEYS_PER_CALL, Reservations, WayLink

WINDOW = HOLD
"""Seconds over which draws are compared."""
BUDGET_AGE = 0.25
"""Seconds for which a budget is believed: finding it costs as much as choosing a path."""
TARGETS_LIMIT = 4096
"""Key nodes remembered; the one first met is forgotten first."""

Budget = Callable[[], tuple[int, Sequence[WayLink]]]
"""End keys that can be had now, and the links that they would cross; no links when there is no way."""


@dataclass(slots=True)
class _Draws:
    """What was drawn towards one key node in the last window."""

    taken: deque[tuple[float, str, int]] = field(default_factory=deque)
    by_sae: dict[str, int] = field(default_factory=dict)
    total: int = 0
    left: float = 0.0
    way: Sequence[WayLink] = ()
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
    """The shares at one key node, by the key node at the other end. Times in unix seconds.

    ``reservations`` are those of all key nodes whose keys cross the same links.
    """

    def __init__(self, reservations: Reservations | None = None) -> None:
        self._reservations = reservations or Reservations()
        self._targets: dict[str, _Draws] = {}

    def calls(self, target: str, now: float) -> int:
        """Calls with which one towards ``target`` shares the link that carries most."""
        draws = self._draws(target, now)
        self._reservations.here(now)
        return max((self._reservations.carried(link.name) for link in draws.way), default=0)

    def admit(self, sae: str, target: str, number: int, budget: Budget, now: float) -> None:
        """Refuse ``number`` end keys that are not ``sae``'s to take: raises :class:`NoShare`.

        ``budget`` is asked again when what it said is old, or would refuse. Whoever is admitted has to be
        followed by :meth:`took` or :meth:`failed`.
        """
        draws = self._draws(target, now)
        believed = now - draws.told_at <= BUDGET_AGE and draws.left >= number
        if believed and self._refusal(sae, target, number, draws, now) is None:
            self._reservations.renew(sae, target, draws.way, now)
            return
        draws.left, draws.way = budget()
        draws.told_at = now
        refusal = self._refusal(sae, target, number, draws, now)
        if refusal is None or self._reservations.holds(sae, target, now):
            self._reservations.renew(sae, target, draws.way, now)
        if refusal is not None:
            raise refusal

    def took(self, sae: str, target: str, number: int, now: float) -> None:
        """Note that ``sae`` has taken ``number`` end keys."""
        draws = self._draws(target, now)
        draws.taken.append((now, sae, number))
        draws.by_sae[sae] = draws.by_sae.get(sae, 0) + number
        draws.total += number
        draws.left -= number
        self._reservations.keep(sae, target)

    def failed(self, sae: str, target: str) -> None:
        """Note that ``sae`` was admitted and got nothing."""
        self._reservations.withdraw(sae, target)

    def _refusal(self, sae: str, target: str, number: int, draws: _Draws, now: float) -> NoShare | None:
        running = self._reservations.holds(sae, target, now)
        wait = draws.taken[0][0] + WINDOW - now if draws.taken else WINDOW
        if draws.left < number and not any(link.carries for link in draws.way):
            return None  # whoever relays says what is missing
        if not running and (full := self._reservations.full(draws.way)):
            text = (
                f"the links to {target} can keep {full.carries} calls in keys and"
                f" {self._reservations.carried(full.name)} are up; try again later"
            )
            return NoShare(text, wait=wait, code="no-capacity")
        if draws.left < number:
            if running:
                return None
            text = f"the key pools to {target} are empty and calls that are up come first; try again later"
            return NoShare(text, wait=wait, code="no-capacity")
        drawn = draws.by_sae.get(sae, 0) + number
        carried = (self._reservations.carried(link.name) for link in draws.way)
        calls = max(carried, default=0) + (not running)
        made = min((link.rate for link in draws.way), default=0.0) * WINDOW  # of which ``total`` is a part
        if drawn <= KEYS_PER_CALL or drawn * calls <= max(draws.total, made) + draws.left:
            return None
        text = f"keys to {target} are low and shared by {calls} calls; this SAE has had its share"
        return NoShare(text, wait=wait)

    def _draws(self, target: str, now: float) -> _Draws:
        draws = self._targets.get(target)
        if draws is None:
            if len(self._targets) >= TARGETS_LIMIT:
                del self._targets[next(iter(self._targets))]
            draws = self._targets[target] = _Draws()
        draws.forget(now - WINDOW)
        return draws
