"""The network as one node in a process of its own knows it: its own links, what others told, what keys met.

Out of that come the routes of keys and what a key node tells its SAEs. Levels that were heard are as old as
the news; what a link has made since is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Set
from itertools import pairwise
from typing import Any

from relay.errors import NoKeyMaterial
from relay.kme.keys import ANY_PATH, Outlook
from relay.kme.reservations import Reservations, WayLink

from .link import BLOCK_BITS, DEFAULT_CAPACITY
from .memory import Disturbance, Memory
from .network import condition, faults_between
from .news import UNUSABLE, NewsDesk
from .node import Node
from .routing import cheapest, choose, link_cost
from .topology import Link, Topology
from .wire import LinkNews

BLOCKED_SECONDS = 3.0
"""How long a link that failed is left out of routes."""


class Vantage:
    """What ``node`` sees. ``clock`` is monotonic, ``unix`` the time of day; ``warm`` in seconds."""

    def __init__(
        self,
        node: Node,
        topology: Topology,
        memory: Memory,
        *,
        clock: Callable[[], float],
        unix: Callable[[], float],
        warm: float,
    ) -> None:
        self.news = NewsDesk(node.name)
        self.reservations = Reservations()
        """Of the calls whose keys are drawn here."""
        self._node = node
        self._topology = topology
        self._memory = memory
        self._clock = clock
        self._unix = unix
        self._warm = warm
        self._blocked: dict[frozenset[str], float] = {}
        self._met: dict[frozenset[str], tuple[float, float]] = {}

    def publish(self) -> None:
        """Tell others of this node's links and calls."""
        now, name = self._unix(), self._node.name
        links = tuple(
            LinkNews(link.a, link.b, self.condition(link), self.rate(link), self.level(link), self.qber(link))
            for other, link in self._topology.neighbours[name].items()
            if other in self._node.links  # of one that was never open, its other end tells
        )
        self.news.publish(links, self.reservations.here(now), now)

    def count_calls(self) -> None:
        """Let calls count whose keys are drawn elsewhere."""
        self.reservations.elsewhere = self.news.calls(self._unix())

    def block(self, a: str, b: str) -> None:
        """A key did not come over this link."""
        self._blocked[frozenset((a, b))] = self._clock() + BLOCKED_SECONDS

    def met(self, a: str, b: str, level: float) -> None:
        """A key crossed this link, whose pool then held ``level`` bits."""
        self._met[frozenset((a, b))] = level, self._unix()

    def cost(self, link: Link, shunned: Set[frozenset[str]] = frozenset()) -> float:
        """Of a key over this link now; infinite when it cannot cross, or is not to."""
        level = self.level(link)
        out = bool(shunned) and frozenset((link.a, link.b)) in shunned
        if level < BLOCK_BITS or out or self._length(link) == math.inf:
            return math.inf
        return link_cost(link.km, level, DEFAULT_CAPACITY)

    def condition(self, link: Link) -> str:
        """As in :func:`relay.network.network.condition`, or ``down`` when an end does not answer."""
        if not self._is_own(link):
            told = self._told(link)
            return "up" if told is None else told[0].condition
        other = link.b if link.a == self._node.name else link.a
        done = self._memory.disturbances.get(other, Disturbance())
        known = condition(done.cut, link.quality(eve=done.eve))
        adjacency = self._node.links.get(other)
        return "down" if known == "up" and (adjacency is None or not adjacency.usable) else known

    def rate(self, link: Link) -> float:
        """Bits a second."""
        if self._is_own(link):
            own = self._node.links.get(link.b if link.a == self._node.name else link.a)
            return own.end.rate if own else 0.0
        told = self._told(link)
        return link.quality().rate if told is None else told[0].rate

    def qber(self, link: Link) -> float:
        """The link's error rate."""
        if self._is_own(link):
            own = self._node.links.get(link.b if link.a == self._node.name else link.a)
            return own.qber if own else link.quality().qber
        told = self._told(link)
        return link.quality().qber if told is None else told[0].qber

    def level(self, link: Link) -> float:
        """Bits in a link's pool: this node's own, what was heard last, or what a warm link would hold."""
        if self._is_own(link):
            own = self._node.links.get(link.b if link.a == self._node.name else link.a)
            return own.end.level(self._clock()) if own else 0.0
        told = self._told(link)
        heard = [] if told is None else [(told[0].level, told[1])]
        if (met := self._met.get(frozenset((link.a, link.b)))) is not None:
            heard.append(met)
        if not heard:
            return min(link.quality().rate * self._warm, float(DEFAULT_CAPACITY))
        level, at = max(heard, key=lambda pair: pair[1])
        return min(level + self.rate(link) * max(0.0, self._unix() - at), float(DEFAULT_CAPACITY))

    def budget(self, destination: str) -> tuple[int, float]:
        """End keys that the path a key would take now could carry now, and a second from then on."""
        links = self._links(self._path(destination))
        if not links:
            return 0, 0.0
        return int(min(map(self.level, links)) // BLOCK_BITS), min(map(self.rate, links)) / BLOCK_BITS

    def way(self, destination: str) -> tuple[WayLink, ...]:
        """The links that a key would cross now; with empty pools, those that it waits for."""
        path = self._path(destination)
        path = path or cheapest(self._topology.neighbours, self._node.name, destination, self._length) or ()
        return tuple(
            WayLink(link.name, self.rate(link) / BLOCK_BITS, self.level(link) / BLOCK_BITS)
            for link in self._links(path)
        )

    def outlook(self, destination: str) -> Outlook:
        """The way a key would take now, and what is wrong on the shorter ones."""

        def wrong(a: str, b: str) -> str | None:
            link = self._topology.link(a, b)
            if (known := self.condition(link)) != "up":
                return known
            if self.level(link) < BLOCK_BITS:
                return "empty"
            return "down" if self._length(link) == math.inf else None

        path = self._path(destination)
        faults = faults_between(self._topology, self._node.name, destination, wrong)
        return Outlook(path, faults, tuple(map(self._row, self._links(path))))

    def _row(self, link: Link) -> dict[str, Any]:
        """One hop as a key node tells it to its SAEs."""
        return {
            "a": link.a,
            "b": link.b,
            "km": link.km,
            "pool": int(self.level(link)),
            "capacity": DEFAULT_CAPACITY,
            "rate": round(self.rate(link), 1),
            "qber": round(self.qber(link), 5),
            "state": self.condition(link),
        }

    def _path(self, destination: str) -> tuple[str, ...]:
        try:
            [path] = choose(self._topology.neighbours, self._node.name, destination, self.cost, ANY_PATH)
        except NoKeyMaterial:
            return ()
        return path

    def _links(self, path: tuple[str, ...]) -> list[Link]:
        return [self._topology.link(a, b) for a, b in pairwise(path)]

    def _length(self, link: Link) -> float:
        """Kilometres of a link that can be used, as far as is known here."""
        if self._blocked.get(frozenset((link.a, link.b)), -math.inf) > self._clock():
            return math.inf
        return math.inf if self.condition(link) in UNUSABLE else link.km

    def _is_own(self, link: Link) -> bool:
        return self._node.name in (link.a, link.b)

    def _told(self, link: Link) -> tuple[LinkNews, float] | None:
        return self.news.link(link.a, link.b, self._unix())
