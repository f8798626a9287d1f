"""What the operator sees of the quantum network: plain data for ``relay status`` and ``relay topology show``.

Lengths in km, losses in dB, rates in bits a second, pools in bits. Key material is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .link import BLOCK_BITS, LinkEnd
from .network import Network
from .physics import LinkQuality
from .topology import Link, Topology

REKEY_SECONDS = 60.0
"""A call takes one end key this often."""


@dataclass(frozen=True, slots=True)
class HopRow:
    """One hop of a route, undisturbed or as it is now."""

    a: str
    b: str
    km: float
    loss: float
    rate: float
    qber: float
    pool: float | None = None
    """Bits in the pool; None where no network is running."""
    condition: str = "up"


@dataclass(frozen=True, slots=True)
class RouteReport:
    """A route and what it can carry."""

    hops: tuple[HopRow, ...]

    @property
    def km(self) -> float:
        return sum(hop.km for hop in self.hops)

    @property
    def keys_per_second(self) -> float:
        """End keys a second in steady state: the weakest hop's rate over the 512 bits that a key costs it."""
        return min((hop.rate for hop in self.hops), default=0.0) / BLOCK_BITS

    @property
    def calls(self) -> int:
        """Calls that the route can keep rekeying, one end key each every :data:`REKEY_SECONDS`."""
        return int(self.keys_per_second * REKEY_SECONDS)


def planned_route(topology: Topology, source: str, target: str) -> RouteReport:
    """The shortest route with its links undisturbed."""
    rows = []
    for a, b in pairwise(topology.path(source, target)):
        link = topology.link(a, b)
        at = link.quality()
        rows.append(HopRow(a, b, link.km, at.loss, at.rate, at.qber))
    return RouteReport(tuple(rows))


def live_route(network: Network, path: Sequence[str], now: float) -> RouteReport:
    """A path as it is now."""
    rows = []
    for a, b in pairwise(path):
        state = network.state(a, b)
        at = state.quality
        rate = state.ends[0].rate
        pool = state.ends[0].level(now)
        rows.append(HopRow(a, b, state.link.km, at.loss, rate, at.qber, pool, state.condition))
    return RouteReport(tuple(rows))


def status(network: Network, now: float) -> dict[str, Any]:
    """The whole network as JSON would have it."""
    return {
        "simulated": True,
        "topology": network.topology.name,
        "keys_relayed": network.relayed,
        "relays_rejected": network.rejected,
        "compromised": {node: len(keys) for node, keys in network.captured.items()},
        "links": [
            link_row(state.link, state.ends[0], state.quality, state.condition, state.eve, now)
            for state in network.states
        ],
    }


def link_row(
    link: Link, end: LinkEnd, quality: LinkQuality, condition: str, eve: float, now: float
) -> dict[str, Any]:
    """One link as JSON would have it, as seen from one of its ends."""
    return {
        "a": link.a,
        "b": link.b,
        "km": link.km,
        "loss_db": round(quality.loss, 2),
        "rate": round(end.rate, 1),
        "qber": round(quality.qber, 5),
        "condition": condition,
        "eve": eve,
        "pool": int(end.level(now)),
        "capacity": end.capacity,
        "spent": end.spent_bits,
        "lost": end.lost_bits,
    }
