"""Which modelled path lies between two sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .model import Hop, Path


class Routes:
    """The paths between sites, one object per direction, so that both directions draw their own luck.

    ``hops`` maps (from, to) to the hops in that order; a pair that is given in one direction only is the same
    hops backwards in the other.
    """

    def __init__(self, hops: Mapping[tuple[str, str], Sequence[Hop]], *, seed: int) -> None:
        both: dict[tuple[str, str], Sequence[Hop]] = {}
        for (source, target), there in hops.items():
            both[source, target] = there
            both.setdefault((target, source), list(reversed(there)))
        both |= hops
        self._paths = {
            (source, target): Path(there, seed=hash_seed(seed, source, target))
            for (source, target), there in both.items()
        }

    def between(self, source: str | None, target: str | None) -> Path | None:
        """The path from ``source`` to ``target``; ``None`` within a site, or where no path is modelled."""
        if source is None or target is None or source == target:
            return None
        return self._paths.get((source, target))

    def replace(self, source: str, target: str, hops: Sequence[Hop]) -> None:
        """Go over ``hops`` from ``source`` to ``target``, and back the other way, from the next packet on.

        Without hops there is no way through, and everything is lost.
        """
        self._paths[source, target].replace(hops)
        self._paths[target, source].replace(hops[::-1])

    def outage(self, hop: str, start: float, end: float) -> None:
        """Lose everything that enters the hop called ``hop``, on any path, from ``start`` until ``end``."""
        for path in self._paths.values():
            path.outage(hop, start, end)

    def items(self) -> Mapping[tuple[str, str], Path]:
        """Every path by (from, to)."""
        return self._paths


def hash_seed(seed: int, source: str, target: str) -> int:
    """A seed for one direction; unlike ``hash``, the same in every process."""
    return int.from_bytes(f"{seed}/{source}/{target}".encode(), "big")
