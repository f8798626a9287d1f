"""Faults on a running relay: the fibres carry the voice as well as the keys, so a cut meets both.

Voice goes over the shortest fibre that is whole. When one is cut, everything on it is lost until the optical
network has switched over, which ITU-T G.841 gives 50 ms; then it takes the next way, or none.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from relay.control import Arguments
from relay.network.faults import FaultRequest, understood
from relay.network.topology import Link, Topology
from relay.path.model import Hop
from relay.path.routes import Routes

SWITCHING_SECONDS = 0.05


class KeyNetwork(Protocol):
    """The nodes and links, wherever they run."""

    async def disturb(self, request: FaultRequest) -> None:
        """Do it to nodes and links."""


class Voice(Protocol):
    """What media or signalling goes over, wherever it runs."""

    async def disturb(self, request: FaultRequest) -> int:
        """Do to it what a fault does to the fibres; returns how many pairs of sites talk over another way."""


class Laboratory:
    """The command ``fault`` of a running relay."""

    def __init__(self, topology: Topology, keys: KeyNetwork | None, voices: Sequence[Voice]) -> None:
        self._topology = topology
        self._keys = keys
        self._voices = voices

    async def __call__(self, arguments: Arguments) -> dict[str, Any]:
        """Do what is asked; says how many pairs of sites talk over another way now."""
        request = understood(arguments, self._topology)
        if self._keys is not None:
            await self._keys.disturb(request)
        detours = await asyncio.gather(*(voice.disturb(request) for voice in self._voices))
        return {
            "action": request.action,
            "names": list(request.names),
            "detours": max(detours, default=0),
        }


class Fibres:
    """The fibres under ``routes``. ``hops`` models a path's hops, given their names and km."""

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
        self._detoured: set[tuple[str, str]] = set()

    async def disturb(self, request: FaultRequest) -> int:
        """Cut or mend a fibre; other faults meet keys alone."""
        if request.action == "cut":
            await self._cut(self._topology.link(*request.names))
        elif request.action == "restore" and len(request.names) != 1:
            mended = {self._topology.link(*request.names)} if request.names else set(self._dark)
            self._dark -= mended
            self._switch()
        return len(self._detoured)

    async def _cut(self, link: Link) -> None:
        self._dark.add(link)
        now = time.monotonic()
        for name in (f"{link.a}–{link.b}", f"{link.b}–{link.a}"):
            self._routes.outage(name, now, now + SWITCHING_SECONDS)
        await asyncio.sleep(SWITCHING_SECONDS)
        self._switch()

    def _switch(self) -> None:
        """Let every pair of sites talk over the shortest way that is whole."""
        dark = {frozenset((link.a, link.b)) for link in self._dark}
        for source, target in itertools.combinations(self._topology.sites, 2):
            pair = source, target
            hops = self._routes.hops(*pair)
            lost = not hops or any(frozenset(hop.name.split("–")) in dark for hop in hops)
            if not lost and pair not in self._detoured:
                continue
            usual = self._topology.path(source, target)
            way = self._topology.detour(source, target, self._dark)
            self._routes.replace(source, target, self._hops(self._topology.hops(way)) if way else [])
            if way == usual:
                self._detoured.discard(pair)
            else:
                self._detoured.add(pair)
