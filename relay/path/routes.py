"""Which modelled path lies between two sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .model import Hop, Path

OUTAGES_KEPT = 64
"""For paths that are first taken after an outage was put on them."""


class Ways(NamedTuple):
    """How sites talk after a fault."""

    detours: int
    """Pairs that talk over another way than usual."""
    cut_off: tuple[tuple[str, str], ...] = ()
    """Pairs for which no way is left."""


class Routes:
    """The paths between sites, one object per direction, so that both directions draw their own luck.

    ``hops`` maps (from, to) to the hops in that order; a pair that is given in one direction only is the same
    hops backwards in the other. ``reorder``: packets of a flow may overtake each other.
    """

    def __init__(
        self, hops: Mapping[tuple[str, str], Sequence[Hop]], *, seed: int, reorder: bool = False
    ) -> None:
        both: dict[tuple[str, str], Sequence[Hop]] = {}
        for (source, target), there in hops.items():
            both[source, target] = there
            both.setdefault((target, source), list(reversed(there)))
        self._hops = both | dict(hops)
        self._seed = seed
        self._reorder = reorder
        self._outages: list[tuple[str, float, float]] = []
        # Made when a packet first takes them: a metropolitan network has 25,122, and few are talked over.
        self._paths: dict[tuple[str, str], Path] = {}

    def between(self, source: str | None, target: str | None) -> Path | None:
        """The path from ``source`` to ``target``; ``None`` within a site, or where no path is modelled."""
        if source is None or target is None or source == target:
            return None
        pair = source, target
        if pair not in self._paths and pair in self._hops:
            self._paths[pair] = Path(
                self._hops[pair], seed=hash_seed(self._seed, source, target), reorder=self._reorder
            )
            for outage in self._outages:
                self._paths[pair].outage(*outage)
        return self._paths.get(pair)

    def hops(self, source: str, target: str) -> Sequence[Hop]:
        """The hops from ``source`` to ``target`` as they are now; none where nothing is modelled."""
        return self._hops.get((source, target), ())

    def replace(self, source: str, target: str, hops: Sequence[Hop]) -> None:
        """Go over ``hops`` from ``source`` to ``target``, and back the other way, from the next packet on.

        Without hops there is no way through, and everything is lost.
        """
        for pair, there in (((source, target), hops), ((target, source), hops[::-1])):
            self._hops[pair] = there
            if pair in self._paths:
                self._paths[pair].replace(there)

    def outage(self, hop: str, start: float, end: float) -> None:
        """Lose everything that enters the hop called ``hop``, on any path, from ``start`` until ``end``."""
        self._outages = [*self._outages[-OUTAGES_KEPT:], (hop, start, end)]
        for path in self._paths.values():
            path.outage(hop, start, end)

    def items(self) -> Mapping[tuple[str, str], Path]:
        """Every path that was ever taken, by (from, to)."""
        return self._paths


def hash_seed(seed: int, source: str, target: str) -> int:
    """A seed for one direction; unlike ``hash``, the same in every process."""
    return int.from_bytes(f"{seed}/{source}/{target}".encode(), "big")
