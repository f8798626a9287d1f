"""The fast path: batches of datagrams whose way the machine has decided before. Pure; rewrites in place.

The machine answers a flow's first datagram with a ``Shortcut``; the next ones are found here by sender and
channel, a batch at a time, and their headers rewritten where they lie. What goes from site to site waits on
the modelled path in its buffer. What has no shortcut is left to the machine: a shortcut only ever repeats
what the machine has said, until it expires or either allocation is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.path.model import Path
from relay.path.wheel import BatchWheel

from .attributes import Address
from .counters import Counters, Tally
from .effects import Budget, Shortcut
from .packets import BUFFER, HEADROOM, NAME, Buffers, Indices, address_of, name_length, pack_name
from .relaying import UDP_HEADERS
from .shortcuts import Senders, Tags, Words

FLOWS: Final = 65_536
"""Shortcuts at a time; beyond, the machine decides every datagram."""
_STRAIGHT: Final = -1
"""Instead of a path's number: nothing lies between."""
_CLIENT: Final = -1
"""Instead of a relayed address's number: out of the server's own socket."""
_SIZE: Final = np.uint32(0xFFFF)
_NUMBER: Final = np.uint32(16)
_HEADER: Final = np.uint32(HEADROOM)
_BUFFER: Final = np.uint32(BUFFER)
_SIZE_IN_BUFFER: Final = np.uint32(BUFFER - HEADROOM)

Times: TypeAlias = NDArray[np.float64]


class Batch(NamedTuple):
    """Datagrams that came to one socket: their buffers, senders, lengths and times of arrival."""

    slots: Indices
    words: Words
    lengths: NDArray[np.uint32]
    arrivals: Times


class Outgoing(NamedTuple):
    """Buffers to be sent now, in order, and in parts: (relayed address, None for the server's own; end)."""

    slots: Indices
    parts: Sequence[tuple[Address | None, int]]


class Forwarder:
    """The shortcuts of one server, and what is under way on them.

    ``is_ipv6``: the family of the socket that clients come to. ``secret``: 32 random bytes.
    """

    def __init__(self, buffers: Buffers, is_ipv6: bool, secret: bytes, counters: Counters) -> None:
        self._buffers = buffers
        self._counters = counters
        self._name_length = name_length(is_ipv6)
        buffers.name_lengths[:] = self._name_length
        self._clients = Senders(is_ipv6, secret, FLOWS)
        self._peers = {family: Senders(family, secret, FLOWS) for family in (False, True)}
        self._names = np.zeros((FLOWS, NAME), np.uint8)
        self._names_at = address_of(self._names)
        self._name_lengths = np.zeros(FLOWS, np.uint32)
        self._expires: Times = np.zeros(FLOWS)
        self._learnt = np.zeros(FLOWS, np.bool_)
        self._channel = np.zeros(FLOWS, ">u2")
        self._relay = np.zeros(FLOWS, np.int32)
        self._path = np.zeros(FLOWS, np.int32)
        self._path_flow = np.zeros(FLOWS, np.intp)
        self._free: list[int] = []
        self._retired: list[int] = []
        self._orphans: dict[Address, list[int]] = {}  # by receiver: flows without a sender, maybe under way
        self._next = 1  # flow 0 has no expiry ahead: it stands for none
        self._by_address: dict[Address, set[int]] = {}
        self._ends: dict[int, tuple[Address, Address]] = {}
        self._budgets: dict[int, tuple[tuple[Budget, ...], float]] = {}
        self._paths: list[Path] = []
        self._straight: set[int] = set()
        self._relays: dict[int, Address] = {}
        self._relay_numbers: dict[Address, int] = {}
        self._relays_seen = 0
        self._wheel = BatchWheel()
        self._flow_of: Indices = np.zeros(len(buffers.messages), np.intp)
        self._tally = Tally(counters)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def deadline(self) -> float | None:
        """When the next datagram leaves the modelled path."""
        return self._wheel.deadline

    @property
    def patience(self) -> float | None:
        """Half the time of the shortest path, if every shortcut of a client leads over one."""
        if self._straight or not self._paths:
            return None
        return min(path.propagation for path in self._paths) / 2

    def learn(self, shortcut: Shortcut) -> None:
        """Take ``shortcut`` from the next batch on, in place of the one its sender may have."""
        if shortcut.client is None:
            senders, address, tag = self._peers[":" in shortcut.peer[0]], shortcut.peer, shortcut.relayed[1]
        else:
            senders, address, tag = self._clients, shortcut.client, shortcut.number
        flow = senders.known(address, tag)
        if flow is not None and self._ends[flow] != (shortcut.relayed, shortcut.peer):
            self._retire([flow])  # the channel is bound elsewhere now; what is under way keeps its old way
            flow = None
        if flow is None:
            self._find_free()
            if not self._free or not senders.add(address, tag, self._free[-1]):
                return
            flow = self._free.pop()
            self._learnt[flow] = True
            self._ends[flow] = (shortcut.relayed, shortcut.peer)
            for end in self._ends[flow]:
                self._by_address.setdefault(end, set()).add(flow)
        target = shortcut.peer if shortcut.to is None else shortcut.to
        self._names[flow] = np.frombuffer(pack_name(target), np.uint8)
        self._name_lengths[flow] = name_length(":" in target[0])
        self._expires[flow] = shortcut.expires
        self._channel[flow] = shortcut.to_number
        self._relay[flow] = _CLIENT if shortcut.to else self._relay_number(shortcut.relayed)
        if shortcut.budgets:
            self._budgets[flow] = shortcut.budgets, shortcut.bandwidth
        self._path[flow] = _STRAIGHT
        if shortcut.path is None:
            if shortcut.client is not None:
                self._straight.add(flow)
        else:
            self._straight.discard(flow)
            if shortcut.path not in self._paths:
                self._paths.append(shortcut.path)
            self._path[flow] = self._paths.index(shortcut.path)
            self._path_flow[flow] = shortcut.path.flow((shortcut.relayed, shortcut.peer))

    def forget(self, address: Address) -> None:
        """End every shortcut from or to the relayed address, and drop what is under way to it."""
        number = self._relay_numbers.pop(address, None)
        if number is not None:
            del self._relays[number]
        self._retire(sorted(self._by_address.get(address, ())))
        receiving = self._orphans.pop(address, [])
        if receiving:
            gone = self._wheel.remove(np.isin(self._flow_of[self._wheel.waiting], receiving))
            self._buffers.give(gone)
            self._drop("no-allocation", len(gone))

    def purge(self, now: float) -> None:
        """End every shortcut that has run out."""
        self._retire((self._learnt & (self._expires <= now)).nonzero()[0].tolist())

    def from_clients(self, batch: Batch, now: float) -> tuple[Indices, list[Outgoing]]:
        """Forward what has a shortcut; returns places in the batch that have none, and what is to be sent."""
        self._tally.batch(len(batch.slots))
        heads = self._buffers.head[batch.slots].astype(np.uint32)
        sizes = heads & _SIZE
        flows, taken = self._clients.find(batch.words, heads >> _NUMBER)
        taken &= batch.lengths >= sizes + _HEADER
        taken &= sizes <= _SIZE_IN_BUFFER  # the rest of it is elsewhere
        taken &= self._expires[flows] > now
        self._clients.keep_order(batch.words, taken)
        if self._budgets and not self._pay(flows, sizes, taken, now):
            self._clients.keep_order(batch.words, taken)
        slots, arrivals, left = batch.slots, batch.arrivals, batch.slots[:0]
        if np.count_nonzero(taken) < len(taken):
            left = (~taken).nonzero()[0]
            flows, slots, sizes, arrivals = flows[taken], slots[taken], sizes[taken], arrivals[taken]
            if not len(flows):
                return left, []
        self._tally.came(sizes)
        outgoing: list[Outgoing] = []
        if self._relays:
            to_peers = self._relay[flows] >= 0
            if to_peers.any():
                outgoing.append(self._to_peers(slots[to_peers], flows[to_peers], sizes[to_peers]))
            inside = ~to_peers
            flows, slots, sizes, arrivals = flows[inside], slots[inside], sizes[inside], arrivals[inside]
            if not len(flows):
                return left, outgoing
        self._counters.hairpinned += len(flows)
        self._buffers.channel[slots] = self._channel[flows]
        self._buffers.lengths[slots] = sizes + _HEADER
        self._buffers.names[slots] = flows * NAME + self._names_at
        straight = self._cross(slots, flows, sizes, arrivals)
        if len(straight):
            outgoing.append(self._delivered(straight))
        return left, outgoing

    def from_peers(
        self, batch: Batch, ports: Tags, is_ipv6: bool, now: float
    ) -> tuple[Indices, list[Outgoing]]:
        """The same for what came to relayed sockets of one family; ``ports`` are theirs."""
        self._tally.batch(len(batch.slots))
        flows, taken = self._peers[is_ipv6].find(batch.words, ports)
        taken &= self._expires[flows] > now
        taken &= batch.lengths <= _BUFFER  # the rest of it is elsewhere
        self._peers[is_ipv6].keep_order(batch.words, taken)
        if self._budgets and not self._pay(flows, batch.lengths, taken, now):
            self._peers[is_ipv6].keep_order(batch.words, taken)
        left = (~taken).nonzero()[0]
        slots, lengths, flows = batch.slots[taken], batch.lengths[taken], flows[taken]
        if not len(flows):
            return left, []
        self._counters.peer_packets_in += len(flows)
        self._counters.peer_bytes_in += int(lengths.sum())
        buffers = self._buffers
        buffers.before[slots] = self._channel[flows].astype(np.uint32) << _NUMBER | lengths
        buffers.bases[slots] = buffers.starts[slots] - np.uint64(HEADROOM)
        buffers.lengths[slots] = lengths + _HEADER
        buffers.names[slots] = flows * NAME + self._names_at
        return left, [self._delivered(slots)]

    def due(self, until: float) -> tuple[Indices, Times]:
        """What leaves the modelled path towards clients by ``until``, and when each of it was due."""
        slots, times = self._wheel.due(until)
        if len(slots):
            self._tally.left(self._buffers.lengths[slots])
        return slots, times

    def released(self, late: Times) -> None:
        """Seconds after their times that datagrams of ``due`` had been sent."""
        self._tally.late(late)

    def recover(self, slots: Indices) -> int:
        """Free those of ``slots`` that neither wait on the path nor are free; returns how many there were."""
        gone = slots[~(np.isin(slots, self._wheel.waiting) | self._buffers.are_free(slots))]
        self._buffers.reset(gone, self._name_length)
        return len(gone)

    def settle(self) -> None:
        """Bring the counters up to date."""
        self._tally.settle()

    def _pay(self, flows: Indices, sizes: NDArray[np.uint32], taken: NDArray[np.bool_], now: float) -> bool:
        """Take a batch's bytes from its users' budgets; the machine sees to flows of users with too little.

        Returns whether there was enough for all.
        """
        enough = True
        paying, place = np.unique(flows[taken], return_inverse=True)
        totals = np.bincount(place, sizes[taken]).tolist()
        for flow, total in zip(paying.tolist(), totals, strict=True):
            budgets, rate = self._budgets[flow]
            if all(budget.affords(int(total), rate, now) for budget in budgets):
                for budget in budgets:
                    budget.spend(int(total), rate, now)
            else:
                taken &= flows != flow
                enough = False
        return enough

    def _to_peers(self, slots: Indices, flows: Indices, sizes: NDArray[np.uint32]) -> Outgoing:
        buffers = self._buffers
        self._counters.peer_packets_out += len(slots)
        self._counters.peer_bytes_out += int(sizes.sum())
        buffers.bases[slots] = buffers.starts[slots] + np.uint64(HEADROOM)
        buffers.lengths[slots] = sizes
        buffers.names[slots] = flows * NAME + self._names_at
        buffers.name_lengths[slots] = self._name_lengths[flows]
        relays = self._relay[flows]
        order = relays.argsort(kind="stable")
        relays = relays[order]
        ends = np.append((relays[1:] != relays[:-1]).nonzero()[0] + 1, len(relays)).tolist()
        numbers = relays[[end - 1 for end in ends]].tolist()
        parts = [(self._relays[number], end) for number, end in zip(numbers, ends, strict=True)]
        return Outgoing(slots[order], parts)

    def _cross(self, slots: Indices, flows: Indices, sizes: NDArray[np.uint32], arrivals: Times) -> Indices:
        """Put datagrams on their paths; returns those between which and their client nothing lies."""
        paths = self._path[flows]
        on_line = sizes + np.uint32(UDP_HEADERS)
        numbers = set(paths.tolist())
        straight = slots[:0]
        if _STRAIGHT in numbers:
            numbers.discard(_STRAIGHT)
            crossing = paths != _STRAIGHT
            straight = slots[~crossing]
            paths, slots, flows = paths[crossing], slots[crossing], flows[crossing]
            on_line, arrivals = on_line[crossing], arrivals[crossing]
        if not numbers:
            return straight
        released = np.empty(len(slots))
        in_path = self._path_flow[flows]
        for number in numbers:
            on = paths == number
            released[on] = self._paths[number].release_many(in_path[on], on_line[on], arrivals[on])
        passed = released == released  # NaN, which is lost, equals nothing
        if np.count_nonzero(passed) < len(passed):
            lost = slots[~passed]
            self._buffers.give(lost)
            self._drop("lost-on-path", len(lost))
            released, slots, flows = released[passed], slots[passed], flows[passed]
        self._flow_of[slots] = flows
        self._wheel.schedule(released, slots)
        return straight

    def _delivered(self, slots: Indices) -> Outgoing:
        self._tally.left(self._buffers.lengths[slots])
        return Outgoing(slots, [(None, len(slots))])

    def _retire(self, flows: Sequence[int]) -> None:
        """End shortcuts; their numbers are not used again while something is under way on them."""
        if not flows:
            return
        for flow in flows:
            ends = self._ends.pop(flow)
            self._budgets.pop(flow, None)
            for end in ends:
                remaining = self._by_address.get(end, set())
                remaining.discard(flow)
                if not remaining:
                    self._by_address.pop(end, None)
            self._straight.discard(flow)
            if self._path[flow] != _STRAIGHT:
                self._orphans.setdefault(ends[1], []).append(flow)
        self._expires[flows] = 0.0
        self._learnt[flows] = False
        for senders in (self._clients, *self._peers.values()):
            senders.remove(flows)
        self._retired += flows

    def _find_free(self) -> None:
        """Have a number for a flow ready, if there is one that nothing under way has any more."""
        if self._free:
            return
        if self._next < FLOWS:
            self._free.append(self._next)
            self._next += 1
            return
        under_way = set(self._flow_of[self._wheel.waiting].tolist())
        self._free = [flow for flow in self._retired if flow not in under_way]
        self._retired = [flow for flow in self._retired if flow in under_way]
        for receiver, flows in list(self._orphans.items()):
            self._orphans[receiver] = [flow for flow in flows if flow in under_way]
            if not self._orphans[receiver]:
                del self._orphans[receiver]

    def _relay_number(self, relayed: Address) -> int:
        if relayed not in self._relay_numbers:
            self._relays_seen += 1
            self._relay_numbers[relayed] = self._relays_seen
            self._relays[self._relays_seen] = relayed
        return self._relay_numbers[relayed]

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self._counters.drops[reason] += count
