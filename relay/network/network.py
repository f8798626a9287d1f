"""A running quantum network in one process: links that fill, nodes that relay, faults that are put on it.

Everything quantum here is simulated. Time and random bytes are arguments; nothing waits.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from relay.errors import NoKeyMaterial, UsageError
from relay.kme.keys import ANY_PATH, Fresh, LinkFault, Outlook, Wish
from relay.kme.reservations import WayLink

from .key_relay import HopRejected, HopReport, Message, join, split
from .link import BLOCK_BITS, DEFAULT_CAPACITY, LinkEnd
from .node import Adjacency, Arrival, Forward, Node, Observer
from .physics import LinkQuality
from .routing import cheapest, choose, link_cost
from .topology import Link, Topology

WARM_SECONDS = 60.0
"""How long the links are taken to have been running when the program starts."""
ATTEMPTS = 4
"""Paths tried for one key before the request fails."""
FAULTS_TOLD = 16
"""Faults that a key node names."""
CAPTURE_LIMIT = 65_536
"""End keys a compromised node remembers."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """An end key that is now known at both ends of its path, and to every trusted node between."""

    key_id: str
    key: bytes = field(repr=False)
    paths: tuple[tuple[str, ...], ...]
    hops: tuple[HopReport, ...]
    """Of all paths, one after the other."""
    delay: float
    """Seconds until it has arrived: the slowest path's fibre and nodes."""


@dataclass(slots=True)
class LinkState:
    """A link and what has been done to it. ``ends`` in the order of ``link.a``, ``link.b``."""

    link: Link
    ends: tuple[LinkEnd, LinkEnd]
    quality: LinkQuality
    cut: bool = False
    eve: float = 0.0

    @property
    def usable(self) -> bool:
        return not self.cut and not self.quality.alarm

    @property
    def condition(self) -> str:
        """See :func:`condition`."""
        return condition(self.cut, self.quality)


def condition(cut: bool, quality: LinkQuality) -> str:
    """``up``, ``cut``, ``alarm``, or ``no-key`` when the error rate leaves no key but raises no alarm."""
    if cut:
        return "cut"
    if quality.alarm:
        return "alarm"
    return "up" if quality.rate > 0 else "no-key"


def _untouched(sender: str, receiver: str, frame: bytes) -> bytes:
    return frame


class Network:
    """Topology, link pools, trusted nodes. All link secrets come from ``seed``, 32 fresh random bytes."""

    def __init__(
        self,
        topology: Topology,
        *,
        seed: bytes,
        now: float,
        capacity: int = DEFAULT_CAPACITY,
        warm: float = WARM_SECONDS,
        channel: Callable[[str, str, bytes], bytes] = _untouched,
    ) -> None:
        if len(seed) != 32:
            raise ValueError("a network's seed has 32 bytes")
        self.topology = topology
        self.nodes = {name: Node(name) for name in topology.nodes}
        self.channel = channel
        """Carries a frame from node to node; what a tap or a test puts here sees and may change it."""
        self.relayed = 0
        self.rejected = 0
        self.captured: dict[str, deque[tuple[str, bytes]]] = {}
        """By compromised node: the key IDs and end keys (or shares) it saw since."""
        self._observer: Observer | None = None
        self._sequence = dict.fromkeys(topology.nodes, 0)
        self._links: dict[frozenset[str], LinkState] = {}
        self._graph: dict[str, dict[str, LinkState]] = {}
        for link in topology.links:
            self._start(link, seed, now, capacity, warm)

    def relay(
        self,
        source: str,
        target: str,
        key_id: str,
        key: bytes,
        now: float,
        *,
        wish: Wish = ANY_PATH,
        entropy: Callable[[int], bytes],
        again: Fresh | None = None,
    ) -> Relayed:
        """Carry ``key`` from ``source`` to ``target``. When its path fails on the way, nodes off the path
        that comes next have seen it: ``again`` draws another key for that; without it there is one attempt.

        With ``wish.disjoint`` n, it travels as n XOR shares on paths that share no node, split with random
        bytes of ``entropy``. Raises :class:`NoKeyMaterial` when no path is left; what failed attempts spent
        stays spent.
        """
        avoid: set[frozenset[str]] = set()
        attempts = ATTEMPTS if again else 1
        for attempt in range(attempts):
            if again and attempt:
                key_id, key = again()
            paths = self.route(source, target, now, wish=wish, avoid=avoid)
            shares = [key] if wish.disjoint == 1 else split(key, wish.disjoint, entropy)
            try:
                arrivals = [
                    self._carry(key_id, part, path, i, len(shares), now, avoid)
                    for i, (part, path) in enumerate(zip(shares, paths, strict=True))
                ]
            except (HopRejected, NoKeyMaterial):
                self.rejected += 1
                continue
            self.relayed += 1
            arrived = join([arrival.key for arrival in arrivals])
            hops = tuple(hop for arrival in arrivals for hop in arrival.message.hops)
            return Relayed(key_id, arrived, tuple(paths), hops, max(map(self.topology.delay, paths)))
        raise NoKeyMaterial(f"no key could be relayed from {source} to {target}: {attempts} paths failed")

    def route(
        self,
        source: str,
        target: str,
        now: float,
        *,
        wish: Wish = ANY_PATH,
        avoid: set[frozenset[str]] | None = None,
    ) -> list[tuple[str, ...]]:
        """The paths a key would take now, every hop of them up and holding enough key.

        Raises :class:`NoKeyMaterial`; its code is ``no-route`` when the wish cannot be met at all.
        """
        shunned = {id(self._links[pair]) for pair in avoid or ()}

        def cost(state: LinkState) -> float:  # asked for most links of the network, for every key
            end = state.ends[0]
            level = end.level(now)
            if level < BLOCK_BITS or not state.usable or id(state) in shunned:
                return math.inf
            return link_cost(state.link.km, level, end.capacity)

        return choose(self._graph, source, target, cost, wish)

    def budget(self, source: str, target: str, now: float) -> tuple[int, float]:
        """End keys that the path a key would take now could carry now, and a second from then on."""
        try:
            [path] = self.route(source, target, now)
        except NoKeyMaterial:
            return 0, 0.0
        ends = [self._graph[a][b].ends[0] for a, b in pairwise(path)]
        left = min(end.level(now) for end in ends)
        return int(left // BLOCK_BITS), min(end.rate for end in ends) / BLOCK_BITS

    def way(self, source: str, target: str, now: float) -> tuple[WayLink, ...]:
        """The links that a key would cross now; with empty pools, those that it waits for."""
        try:
            [path] = self.route(source, target, now)
        except NoKeyMaterial:
            found = cheapest(self._graph, source, target, lambda s: s.link.km if s.usable else math.inf)
            path = found or ()
        states = [self._graph[a][b] for a, b in pairwise(path)]
        return tuple(
            WayLink(state.link.name, end.rate / BLOCK_BITS, end.level(now) / BLOCK_BITS)
            for state in states
            for end in state.ends[:1]
        )

    def outlook(self, source: str, target: str, now: float) -> Outlook:
        """The way a key would take now, and what is wrong on the shorter ones."""
        try:
            [path] = self.route(source, target, now)
        except NoKeyMaterial:
            path = ()

        def wrong(a: str, b: str) -> str | None:
            state = self._graph[a][b]
            if state.condition != "up":
                return state.condition
            return "empty" if state.ends[0].level(now) < BLOCK_BITS else None

        faults = faults_between(self.topology, source, target, wrong)
        hops = [self._graph[a][b] for a, b in pairwise(path)]
        return Outlook(path, faults, tuple(hop_row(state, now) for state in hops))

    # Faults

    def cut(self, a: str, b: str, now: float) -> None:
        """Cut the fibre: no more key is made, and none is relayed over it."""
        state = self.state(a, b)
        state.cut = True
        self._apply(state, now)

    def eavesdrop(self, a: str, b: str, share: float, now: float) -> None:
        """Put an intercept-and-resend eavesdropper on a share (0..1) of the pulses.

        When the alarm rises, the pool is thrown away: nobody knows how long she had been there unnoticed.
        """
        if not 0 <= share <= 1:
            raise UsageError(f"an eavesdropper's share of the pulses is between 0 and 1, not {share:g}")
        state = self.state(a, b)
        state.eve = share
        alarmed = state.quality.alarm
        self._apply(state, now)
        if state.quality.alarm and not alarmed:
            self.drain(a, b, now)

    def drain(self, a: str, b: str, now: float) -> None:
        """Empty the link's pool at both ends."""
        for end in self.state(a, b).ends:
            end.drain(now)

    def restore(self, a: str, b: str, now: float) -> None:
        """Mend the fibre and remove the eavesdropper; the pool fills again at the link's rate."""
        state = self.state(a, b)
        state.cut, state.eve = False, 0.0
        self._apply(state, now)

    def compromise(self, node: str) -> None:
        """From now on the node writes down every end key it sees, in :attr:`captured`."""
        self.topology.known(node)
        self.captured.setdefault(node, deque(maxlen=CAPTURE_LIMIT))
        self._rewire()

    def saw(self, node: str, key_id: str, key: bytes) -> None:
        """An end key is at ``node`` that no link brought: whoever watches the node sees it as well."""
        if (observer := self.nodes[node].observer) is not None:
            observer(node, key_id, key)

    def recover(self, node: str) -> None:
        """The node is honest again; what it has written down is forgotten here."""
        self.topology.known(node)
        self.captured.pop(node, None)
        self._rewire()

    def observe(self, observer: Observer | None) -> None:
        """Let ``observer`` see every end key at every node: the recording of all that trusted nodes know."""
        self._observer = observer
        self._rewire()

    def state(self, a: str, b: str) -> LinkState:
        """The link between two nodes; raises :class:`UsageError` when there is none."""
        link = self.topology.link(a, b)
        return self._links[frozenset((link.a, link.b))]

    @property
    def states(self) -> tuple[LinkState, ...]:
        return tuple(self._links.values())

    def _start(self, link: Link, seed: bytes, now: float, capacity: int, warm: float) -> None:
        quality = link.quality()
        secret = hashlib.blake2b(link.name.encode(), key=seed, digest_size=32, person=b"relay link").digest()
        level = quality.rate * warm
        first = LinkEnd(secret, 0, rate=quality.rate, now=now, capacity=capacity, level=level)
        second = LinkEnd(secret, 1, rate=quality.rate, now=now, capacity=capacity, level=level)
        state = LinkState(link, (first, second), quality)
        self._links[frozenset((link.a, link.b))] = state
        self._graph.setdefault(link.a, {})[link.b] = state
        self._graph.setdefault(link.b, {})[link.a] = state
        self.nodes[link.a].links[link.b] = Adjacency(first, quality.qber)
        self.nodes[link.b].links[link.a] = Adjacency(second, quality.qber)

    def _apply(self, state: LinkState, now: float) -> None:
        state.quality = state.link.quality(eve=state.eve)
        for node, other, end in (
            (state.link.a, state.link.b, state.ends[0]),
            (state.link.b, state.link.a, state.ends[1]),
        ):
            # Under alarm nothing that is measured may become key, whatever the formula would still yield.
            end.set_rate(state.quality.rate if state.usable else 0.0, now)
            adjacency = self.nodes[node].links[other]
            adjacency.qber, adjacency.usable = state.quality.qber, state.usable

    def _carry(
        self,
        key_id: str,
        key: bytes,
        path: tuple[str, ...],
        share: int,
        shares: int,
        now: float,
        avoid: set[frozenset[str]],
    ) -> Arrival:
        source = path[0]
        self._sequence[source] += 1
        message = Message(key_id, self._sequence[source], path, share=share, shares=shares)
        at = source
        try:
            step: Forward | Arrival = self.nodes[at].send(message, key, now)
            while isinstance(step, Forward):
                frame = self.channel(at, step.to, step.frame)
                sender, at = at, step.to
                step = self.nodes[at].receive(sender, frame, now)
        except HopRejected:
            avoid.add(frozenset((sender, at)))
            raise
        except NoKeyMaterial:
            avoid.add(frozenset((at, path[path.index(at) + 1])))
            raise
        return step

    def _observe(self, node: str, key_id: str, key: bytes) -> None:
        if self._observer is not None:
            self._observer(node, key_id, key)
        if (captured := self.captured.get(node)) is not None:
            captured.append((key_id, key))

    def _rewire(self) -> None:
        for name, node in self.nodes.items():
            node.observer = self._observe if self._observer or name in self.captured else None


def faults_between(
    topology: Topology, source: str, target: str, wrong: Callable[[str, str], str | None]
) -> tuple[LinkFault, ...]:
    """What is wrong on the shortest way, on the shortest way around that, and so on.

    ``wrong`` names the condition of a link between two nodes, or None when it is well.
    """
    faults: list[LinkFault] = []
    dark: set[Link] = set()
    while (way := topology.detour(source, target, dark)) and len(faults) < FAULTS_TOLD:
        found = [
            LinkFault(a, b, condition) for a, b in pairwise(way) if (condition := wrong(a, b)) is not None
        ]
        if not found:
            break
        faults += found
        dark |= {topology.link(fault.a, fault.b) for fault in found}
    return tuple(faults)


def hop_row(state: LinkState, now: float) -> dict[str, Any]:
    """One hop as a key node tells it to its SAEs."""
    end, link = state.ends[0], state.link
    return {
        "a": link.a,
        "b": link.b,
        "km": link.km,
        "pool": int(end.level(now)),
        "capacity": end.capacity,
        "rate": round(end.rate, 1),
        "qber": round(state.quality.qber, 5),
        "state": state.condition,
    }
