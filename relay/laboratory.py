"""Faults on a running relay: the fibres carry the voice as well as the keys, so a cut meets both.

Voice goes over the shortest fibre that is whole. When one is cut, everything on it is lost until the optical
network has switched over, which ITU-T G.841 gives 50 ms; then it takes the next way, or none.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from relay.control import Arguments
from relay.network.faults import FaultRequest, understood
from relay.network.topology import Link, Topology
from relay.path.model import Hop
from relay.path.routes import Routes, Ways

SWITCHING_SECONDS = 0.05
OUTAGE_SECONDS = 0.25
"""For so long at a time a cut fibre loses what is sent over it, while there are sites to be switched over."""
SLICE_SECONDS = 0.002
"""Seconds that switching keeps the event loop: a packet of voice is due every 20 ms."""

Pair: TypeAlias = tuple[str, str]
"""Two sites, in the order of the topology."""


class KeyNetwork(Protocol):
    """The nodes and links, wherever they run."""

    async def disturb(self, request: FaultRequest) -> None:
        """Do it to nodes and links."""


class Voice(Protocol):
    """What media or signalling goes over, wherever it runs."""

    async def disturb(self, request: FaultRequest) -> Ways:
        """Do to it what a fault does to the fibres."""


class Laboratory:
    """The command ``fault`` of a running relay. The first of ``voices`` has met every fault there was."""

    def __init__(self, topology: Topology, keys: KeyNetwork | None, voices: Sequence[Voice]) -> None:
        self._topology = topology
        self._keys = keys
        self._voices = voices

    async def __call__(self, arguments: Arguments) -> dict[str, Any]:
        """Do what is asked; says how many pairs of sites talk over another way now, and which over none."""
        request = understood(arguments, self._topology)
        if self._keys is not None:
            await self._keys.disturb(request)
        # All have the same fibres; a process that has just started may not know of every cut yet.
        ways, *_ = await asyncio.gather(*(voice.disturb(request) for voice in self._voices))
        return {
            "action": request.action,
            "names": list(request.names),
            "detours": ways.detours,
            "cut_off": ways.cut_off,
        }


class Fibres:
    """The fibres under ``routes``. ``hops`` models a path's hops, given their names and km.

    What goes over a fibre that was cut is lost until it goes over another: of sites between which somebody
    talks in the time that the optical network takes; of the rest in slices, between which the relay works.
    """

    def __init__(
        self,
        topology: Topology,
        routes: Routes,
        hops: Callable[[Sequence[tuple[str, float]]], list[Hop]],
    ) -> None:
        self._topology = topology
        self._routes = routes
        self._hops = hops
        self._dark: set[Link] = set()
        self._detoured: set[Pair] = set()
        """Who does not go as usual: over a detour, or, where no way is left, not at all."""
        self._failing: Link | None = None
        """The fibre that is being switched away from."""
        self._lost_until = -math.inf
        self._turn = -math.inf
        """Since when switching has had the event loop."""
        self._one_at_a_time = asyncio.Lock()

    async def disturb(self, request: FaultRequest) -> Ways:
        """Cut or mend a fibre; other faults meet keys alone."""
        async with self._one_at_a_time:
            if request.action == "cut":
                await self._cut(self._topology.link(*request.names))
            elif request.action == "restore" and len(request.names) != 1:
                await self._mend({self._topology.link(*request.names)} if request.names else set(self._dark))
        cut_off = tuple(sorted(pair for pair in self._detoured if not self._routes.hops(*pair)))
        return Ways(len(self._detoured) - len(cut_off), cut_off)

    async def _cut(self, link: Link) -> None:
        self._dark.add(link)
        self._failing = link
        cut_at = time.monotonic()
        self._lose(cut_at)
        place = {site: number for number, site in enumerate(self._topology.sites)}
        used = {(a, b) if place[a] < place[b] else (b, a) for a, b in self._routes.items()}
        ways = [each async for each in self._ways(used)]
        await asyncio.sleep(max(0.0, cut_at + SWITCHING_SECONDS - time.monotonic()))
        for pair, way in ways:
            await self._give_way()
            self._switch(pair, way)
        await self._switch_all()
        self._failing = None

    async def _mend(self, links: set[Link]) -> None:
        await asyncio.sleep(max(0.0, self._lost_until - time.monotonic()))
        self._dark -= links
        await self._switch_all()

    async def _switch_all(self) -> None:
        async for pair, way in self._ways(itertools.combinations(self._topology.sites, 2)):
            self._switch(pair, way)

    async def _ways(self, pairs: Iterable[Pair]) -> AsyncIterator[tuple[Pair, tuple[str, ...] | None]]:
        """Those of ``pairs`` that cannot go as they do, or need no detour any longer, and how they go now."""
        dark = {name for link in self._dark for name in _directions(link)}
        for pair in pairs:
            await self._give_way()
            hops = self._routes.hops(*pair)
            lost = not hops or not dark.isdisjoint(hop.name for hop in hops)
            if lost or pair in self._detoured:
                yield pair, self._topology.detour(*pair, self._dark)

    def _switch(self, pair: Pair, way: tuple[str, ...] | None) -> None:
        """Let two sites talk over ``way``, the shortest that is whole; who goes as usual is on no detour."""
        self._routes.replace(*pair, self._hops(self._topology.hops(way)) if way else [])
        if pair in self._detoured and way == self._topology.path(*pair):
            self._detoured.remove(pair)
        else:
            self._detoured.add(pair)

    async def _give_way(self) -> None:
        """Let the event loop go on when this turn of it has lasted long enough."""
        if (now := time.monotonic()) - self._turn > SLICE_SECONDS:
            self._lose(now)
            await asyncio.sleep(0)
            self._turn = time.monotonic()

    def _lose(self, now: float) -> None:
        """Lose what is sent over a fibre from which not everybody has been switched away yet."""
        if self._failing is None or now < self._lost_until - OUTAGE_SECONDS / 2:
            return
        for name in _directions(self._failing):
            self._routes.outage(name, now, now + OUTAGE_SECONDS)
        self._lost_until = now + OUTAGE_SECONDS


def _directions(link: Link) -> tuple[str, str]:
    """What a hop over the link is called, each way."""
    return f"{link.a}–{link.b}", f"{link.b}–{link.a}"
