"""A trusted node: takes frames from its neighbours, verifies, decrypts, and sends the end key on.

The same node runs in one process with all others or in a process of its own: it is given frames and returns
frames. ``observer`` sees every end key this node sees; it is what an attacker who owns the node writes down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from relay.errors import NoKeyMaterial

from . import key_relay
from .key_relay import HopRejected, HopReport, Message
from .link import LinkEnd

Observer = Callable[[str, str, bytes], None]
"""Called with node, key ID and end key (or share of one)."""

SEQUENCE_WINDOW = 4096
GATHERED_LIMIT = 4096
"""Incomplete keys, and complete ones remembered."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Adjacency:
    """This node's end of a link, and what the link's error rate is now."""

    end: LinkEnd
    qber: float = 0.0
    usable: bool = True
    """False while the link is cut or under alarm."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A frame to hand to the neighbour ``to``."""

    to: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """An end key that has reached its target."""

    message: Message
    key: bytes = field(repr=False)


class Node:
    """One trusted node and its link ends by neighbour."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.links: dict[str, Adjacency] = {}
        self.observer: Observer | None = None
        self._seen: dict[str, _Window] = {}

    def send(self, message: Message, key: bytes, now: float) -> Forward:
        """Put ``key`` on the next hop of its path.

        Raises :class:`NoKeyMaterial` when that hop is cut, under alarm or out of key; nothing is spent then.
        """
        if self.observer is not None:
            self.observer(self.name, message.key_id, key)
        adjacency = self.links.get(message.next_node)
        if adjacency is None or not adjacency.usable:
            raise NoKeyMaterial(f"the link {self.name}–{message.next_node} is down; another path is needed")
        block = adjacency.end.reserve(now)
        hops = (*message.hops, HopReport(adjacency.qber, block.age))
        onward = msgspec.structs.replace(message, hops=hops)
        return Forward(message.next_node, key_relay.seal(block, onward, key))

    def receive(self, sender: str, frame: bytes, now: float) -> Forward | Arrival:
        """Take a frame and send its key on at once; raises :class:`HopRejected` or NoKeyMaterial."""
        opened = self.open(sender, frame, now)
        return opened if isinstance(opened, Arrival) else self.send(*opened, now)

    def open(self, sender: str, frame: bytes, now: float) -> tuple[Message, bytes] | Arrival:
        """Verify and decrypt a frame of the neighbour ``sender``: a key to send on, or one that is here.

        Raises :class:`HopRejected`.
        """
        adjacency = self.links.get(sender)
        if adjacency is None:
            raise HopRejected(f"{sender} is no neighbour of {self.name}")
        message, key = key_relay.open_frame(adjacency.end, frame, sender=sender, receiver=self.name, now=now)
        here = msgspec.structs.replace(message, position=message.position + 1)
        if here.position < len(here.path) - 1:
            return here, key
        if self.observer is not None:
            self.observer(self.name, here.key_id, key)
        if not self._seen.setdefault(here.path[0], _Window()).take(here.sequence):
            raise HopRejected(f"{here.path[0]} sent a sequence number twice", code="replay")
        return Arrival(here, key)


class Gathering:
    """Collects the shares of end keys at their target until a key is whole; remembers which keys were."""

    def __init__(self) -> None:
        self._shares: dict[tuple[str, int], dict[int, Arrival]] = {}
        self._whole: dict[tuple[str, str], None] = {}

    def add(self, arrival: Arrival) -> list[Arrival] | None:
        """All shares of a key, in order, when ``arrival`` completes it for the first time."""
        message = arrival.message
        source = message.path[0]
        group = self._shares.setdefault((source, message.attempt), {})
        group[message.share] = arrival
        if len(group) < message.shares:
            _bound(self._shares)
            return None
        del self._shares[source, message.attempt]
        if (source, message.key_id) in self._whole:  # a key ID is kept once, whatever a source sends
            return None
        self._whole[source, message.key_id] = None
        _bound(self._whole)
        return [group[share] for share in sorted(group)]


def _bound(table: dict[K, V]) -> None:
    """Forget the oldest entry of a table that is full."""
    if len(table) > GATHERED_LIMIT:
        del table[next(iter(table))]


class _Window:
    """Which of the last sequence numbers of one source have been seen (as RFC 4303 clause 3.4.3)."""

    def __init__(self) -> None:
        self._highest = -1
        self._bits = 0

    def take(self, sequence: int) -> bool:
        """Whether ``sequence`` is new; it is not new afterwards."""
        if sequence > self._highest:
            ahead = min(sequence - self._highest, SEQUENCE_WINDOW)
            self._bits = (self._bits << ahead) & ((1 << SEQUENCE_WINDOW) - 1) | 1
            self._highest = sequence
            return True
        behind = self._highest - sequence
        if behind >= SEQUENCE_WINDOW or self._bits >> behind & 1:
            return False
        self._bits |= 1 << behind
        return True
