"""A quantum network under test, by virtual time, in two makes: all nodes in one process, or each in its own.

What tests do to it and see of it is the same. Nodes in processes of their own are joined by function calls
here; ``tests/e2e/key_network.py`` joins real programs by mutual TLS.
"""

from __future__ import annotations

import abc
import asyncio
import functools
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from relay.errors import StorageError
from relay.kme.keys import ANY_PATH, Assignment, EndKey, Wish
from relay.kme.keystore import SqliteKeyStore
from relay.kme.reservations import Reservations
from relay.network.faults import understood, void
from relay.network.link import LinkEnd
from relay.network.memory import Memory
from relay.network.network import Network
from relay.network.node import Node
from relay.network.process import NodeProcess
from relay.network.sites import KeySites, Site
from relay.network.supply import Carrier, LocalCarrier
from relay.network.topology import Topology, kme_id, parse
from relay.network.wire import Fault, PeerFailed

DIAMOND = parse(
    """name = "diamond"
description = "modelled"
sites = ["a", "b"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "y", b = "a", km = 50 }, { a = "b", b = "y", km = 50 },
]""",
    "test",
)
KEY = bytes(range(32))
AGAIN = bytes(range(32, 64))
UNIX = 1_800_000_000.0

Channel = Callable[[str, str, bytes], bytes]
"""Carries a frame from node to node, and may change it."""


def _untouched(sender: str, receiver: str, frame: bytes) -> bytes:
    return frame


class World(abc.ABC):
    """The nodes of a topology, the stores of its sites, and one clock, ``now``, for all."""

    carriers: Mapping[str, Carrier]
    """By KME ID of the site that draws keys."""

    def __init__(self, directory: Path, topology: Topology = DIAMOND) -> None:
        self.now = UNIX
        self.draw = random.Random(3)
        self.topology = topology
        self.stores = {
            kme_id(site): SqliteKeyStore(directory / f"{site}.db", bytes(32), boot_id="x")
            for site in topology.sites
        }
        self.channel: Channel = _untouched
        self.frames: list[tuple[str, str, bytes]] = []
        """What came out of the channel, between which nodes."""

    @classmethod
    async def start(cls, directory: Path, topology: Topology = DIAMOND) -> World:
        """A world with open links."""
        made = cls(directory, topology)
        await made.tend()
        return made

    def close(self) -> None:
        """Close the stores."""
        for store in self.stores.values():
            store.close()

    @abc.abstractmethod
    def node(self, name: str) -> Node:
        """The trusted node."""

    @abc.abstractmethod
    def reservations(self, site: str) -> Reservations:
        """Those that the key node of a site counts with."""

    @abc.abstractmethod
    def captured(self, node: str) -> list[tuple[str, bytes]] | None:
        """What a compromised node has written down: key IDs and end keys, or shares of them."""

    @abc.abstractmethod
    async def disturb(self, action: str, *names: str, share: float = 1.0) -> None:
        """What ``relay fault`` does."""

    @property
    @abc.abstractmethod
    def relayed(self) -> int:
        """End keys that arrived."""

    @abc.abstractmethod
    def saw(self, node: str, key_id: str, key: bytes) -> None:
        """An end key was made at a node."""

    @abc.abstractmethod
    async def tend(self) -> None:
        """What nodes do regularly."""

    async def settle(self) -> None:
        """Let three seconds pass, in which whatever happened is known everywhere."""
        for _ in range(12):
            await self.tend()
            self.now += 0.25

    def ends(self, a: str, b: str) -> tuple[LinkEnd, LinkEnd]:
        """Of the link between two nodes."""
        return self.node(a).links[b].end, self.node(b).links[a].end

    def spent(self) -> dict[str, list[tuple[int, int]]]:
        """By link: bits used and bits lost, as either end counts them."""
        return {
            link.name: [(end.spent_bits, end.lost_bits) for end in self.ends(link.a, link.b)]
            for link in self.topology.links
        }

    async def carry(
        self, key_id: str = "k", wish: Wish = ANY_PATH, *, key: bytes = KEY, then: bytes | None = AGAIN
    ) -> EndKey:
        """Relay ``key`` from the first site to the second; ``then`` is what a second attempt would send."""

        def again() -> tuple[str, bytes]:
            assert then is not None
            return key_id + "'", then

        source, target = map(kme_id, self.topology.sites[:2])
        return await self.carriers[source].carry(
            target, key_id, key, wish, self.draw.randbytes, self.now, None if then is None else again
        )

    def arrived(self, key_id: str = "k") -> EndKey:
        """Take the key out of the store of the second site, as if its master had assigned it."""
        source, target = map(kme_id, self.topology.sites[:2])
        assigned = [Assignment(key_id, (key_id,), 256, "m", ("s",))]
        self.stores[target].assign(source, assigned, ready_at=0, expires=self.now + 9)
        return self.stores[target].deliver("m", "s", [key_id], self.now)[0]

    def cross(self, sender: str, receiver: str, frame: bytes) -> bytes:
        """Take a frame through the channel."""
        out = self.channel(sender, receiver, frame)
        self.frames.append((sender, receiver, out))
        return out

    def pads(self) -> list[bytes]:
        """What stands in each frame in place of its key: the same for one key only under the same pad."""
        return [frame[frame.index(b"\xc4\x20") + 2 :][:32] for _, _, frame in self.frames]


class OneProcess(World):
    """A :class:`Network`, as ``relay serve`` runs it."""

    def __init__(self, directory: Path, topology: Topology = DIAMOND) -> None:
        super().__init__(directory, topology)
        self.network = Network(topology, seed=bytes(32), now=self.now, channel=self.cross)
        nodes = {kme_id(site): site for site in topology.sites}
        self.carriers = {
            kme: LocalCarrier(kme, self.network, self.stores, nodes, lambda: self.now) for kme in nodes
        }
        self._reservations = Reservations()
        none = cast(Any, None)
        sites = {site: Site(site, none, self.stores[kme], none) for kme, site in nodes.items()}
        self._sites = KeySites(self.network, sites, lambda: self.now)

    def node(self, name: str) -> Node:
        return self.network.nodes[name]

    def reservations(self, site: str) -> Reservations:
        return self._reservations

    def captured(self, node: str) -> list[tuple[str, bytes]] | None:
        kept = self.network.captured.get(node)
        return None if kept is None else list(kept)

    async def disturb(self, action: str, *names: str, share: float = 1.0) -> None:
        asked = {"action": action, "names": list(names), "share": share}
        await self._sites.disturb(understood(asked, self.topology))

    @property
    def relayed(self) -> int:
        return self.network.relayed

    def saw(self, node: str, key_id: str, key: bytes) -> None:
        self.network.saw(node, key_id, key)

    async def tend(self) -> None:
        """Links in one process need no tending."""


class Processes(World):
    """A :class:`NodeProcess` for every node, as ``relay kme --node`` runs it."""

    def __init__(self, directory: Path, topology: Topology = DIAMOND) -> None:
        super().__init__(directory, topology)
        self.nodes: dict[str, NodeProcess] = {}
        self.memories: dict[str, Memory] = {}
        self.secrets: list[bytes] = []
        self.lost_acks = 0
        self.full_disks: set[str] = set()
        self.babbling: dict[str, str] = {}
        """By action: the node that answers it with noise."""
        self.overtaking = 0
        """So many frames over the first hop are collected and handed on in reverse."""
        self.held: list[asyncio.Event] = []
        for name in topology.nodes:
            self.boot(name)

    @property
    def carriers(self) -> Mapping[str, Carrier]:  # type: ignore[override]
        return {kme_id(site): self.nodes[site] for site in self.topology.sites}

    def node(self, name: str) -> Node:
        return self.nodes[name].node

    def reservations(self, site: str) -> Reservations:
        return self.nodes[site].reservations

    def captured(self, node: str) -> list[tuple[str, bytes]] | None:
        kept = self.nodes[node].captured
        return None if kept is None else list(kept)

    async def disturb(self, action: str, *names: str, share: float = 1.0) -> None:
        request = understood({"action": action, "names": list(names), "share": share}, self.topology)
        for name, node in self.nodes.items():
            node.disturb(request)
            if (store := self.stores.get(kme_id(name))) is not None:
                void(request, self.topology, store)

    @property
    def relayed(self) -> int:
        return sum(node.relayed for node in self.nodes.values())

    def saw(self, node: str, key_id: str, key: bytes) -> None:
        self.nodes[node].saw(key_id, key)

    def remember(self, name: str, memory: Memory) -> None:
        """Save what a node wants to remember; a full disk fails."""
        if name in self.full_disks:
            raise StorageError(f"cannot write links.json of {name}: No space left on device")
        self.memories[name] = msgspec.json.decode(msgspec.json.encode(memory), type=Memory)

    def boot(self, name: str) -> None:
        """Start a node, or start it again with what it saved."""
        self.nodes[name] = NodeProcess(
            name, self.topology, _Calls(self, name), clock=lambda: self.now, unix=lambda: self.now,
            entropy=self.draw.randbytes, store=self.stores.get(kme_id(name)),
            memory=self.memories.setdefault(name, Memory()), remember=functools.partial(self.remember, name),
        )  # fmt: skip

    async def overtake(self, to: str) -> None:
        """Hold a frame back until those that were sent after it have gone."""
        if to != "x" or not self.overtaking:
            return
        mine = asyncio.Event()
        self.held.append(mine)
        if len(self.held) == self.overtaking:
            mine.set()
        await mine.wait()
        place = self.held.index(mine)
        if place:
            asyncio.get_running_loop().call_soon(self.held[place - 1].set)

    async def tend(self) -> None:
        for node in list(self.nodes.values()):
            await node.tend()


class _Calls:
    """A node's way to the others; a node that is not there does not answer."""

    def __init__(self, world: Processes, name: str) -> None:
        self._world = world
        self._name = name

    async def ask(self, node: str, action: str, body: bytes, *, timeout: float) -> bytes:
        world = self._world
        if node not in world.nodes:
            raise PeerFailed(Fault("node-down", "down", self._name, node))
        if action == "link" and (secret := msgspec.msgpack.decode(body)[1]):
            world.secrets.append(secret)
        if action == "frame":
            body = world.cross(self._name, node, body)
            await world.overtake(node)
        answer = await world.nodes[node].handle(self._name, action, body)
        if world.babbling.get(action) == node:
            return b"\xc1noise"
        if action == "frame" and world.lost_acks:
            world.lost_acks -= 1
            raise PeerFailed(Fault("node-down", "lost", self._name, node))
        return answer


WORLDS: Mapping[str, type[World]] = {"one process": OneProcess, "processes": Processes}
