"""The data plane: application datagrams of live allocations, in both directions (RFC 8656 §11, §12.6, §12.7).

One lookup by five-tuple and channel number, then one by relayed address: a peer that is an allocation of this
server is served here, in the process (hairpin), and what goes from one access site to another takes the
modelled path. A live channel carries data whether or not a permission still stands beside it: deployed
clients refresh the one and forget the other.
"""

from __future__ import annotations

from typing import NamedTuple

from relay.path.routes import Routes
from relay.path.wheel import Wheel

from .allocation import Allocation, Channel, Quotas, Table
from .attributes import DATA, DONT_FRAGMENT, XOR_PEER_ADDRESS, Address
from .counters import Counters
from .effects import Effect, FiveTuple, Send, SendFromRelay, Shortcut
from .message import (
    Message,
    MessageClass,
    Method,
    encode,
    encode_channel_data,
    parse_channel_data,
)
from .peers import PeerPolicy, Reach

UDP_HEADERS = 28
"""Bytes of IPv4 and UDP headers, which a datagram on the path carries beside its payload."""


class _Crossing(NamedTuple):
    """A datagram on the modelled path."""

    release_at: float
    sender: Address
    receiver: Address
    payload: bytes


class Relaying:
    """Carries the datagrams of the allocations in ``table``."""

    def __init__(
        self,
        table: Table,
        policy: PeerPolicy,
        quotas: Quotas,
        counters: Counters,
        routes: Routes | None,
        shortcuts: bool,
    ) -> None:
        self._table = table
        self._policy = policy
        self._bandwidth = quotas.bandwidth
        self._counters = counters
        self._routes = routes
        self._shortcuts = shortcuts
        self._path: Wheel[_Crossing] = Wheel()
        self._indications = 0

    @property
    def deadline(self) -> float | None:
        """When the next datagram leaves the modelled path."""
        return self._path.deadline

    def channel_data(self, data: bytes, five_tuple: FiveTuple, now: float) -> tuple[Effect, ...]:
        """ChannelData from a client; raises ``Malformed``."""
        number, payload = parse_channel_data(data)
        allocation = self._table.by_tuple.get(five_tuple)
        if allocation is None:
            return self._drop("no-allocation")
        channel = allocation.channel(number, now)
        if channel is None:
            return self._drop("no-channel")
        effects = self._to_peer(allocation, channel.peer, payload, now)
        if self._shortcuts and five_tuple.transport == "udp":
            return effects + self._shortcut_to_peer(allocation, channel, now)
        return effects

    def send_indication(self, message: Message, five_tuple: FiveTuple, now: float) -> tuple[Effect, ...]:
        """A Send indication (RFC 8656 §11.2); raises ``Malformed``."""
        allocation = self._table.by_tuple.get(five_tuple)
        if allocation is None:
            return self._drop("no-allocation")
        peer, payload = message.get(XOR_PEER_ADDRESS), message.get(DATA)
        if peer is None or payload is None or message.uncomprehended:
            return self._drop("malformed")
        if not allocation.permits(peer[0], now):
            return self._drop("no-permission")
        dont_fragment = message.get(DONT_FRAGMENT) is not None
        return self._to_peer(allocation, peer, payload, now, dont_fragment)

    def from_peer(self, relayed: Address, peer: Address, data: bytes, now: float) -> tuple[Effect, ...]:
        """A datagram that the kernel delivered to the socket bound to ``relayed``."""
        self._counters.peer_packets_in += 1
        self._counters.peer_bytes_in += len(data)
        allocation = self._table.by_relayed.get(relayed)
        if allocation is None:
            return self._drop("no-allocation")
        effects = self._to_client(allocation, peer, data, now)
        channel = allocation.channel_to(peer, now)
        if self._shortcuts and channel is not None and allocation.five_tuple.transport == "udp":
            client = allocation.five_tuple.client
            shortcut = Shortcut(relayed, peer, channel.expires, to=client, to_number=channel.number)
            effects += (self._paid(shortcut, allocation),)
        return effects

    def due(self, now: float, until: float) -> tuple[Effect, ...]:
        """Deliver what reached the end of the modelled path by ``until``."""
        effects: list[Effect] = []
        for crossing in self._path.due(until):
            self._counters.released(now - crossing.release_at)
            receiver = self._table.by_relayed.get(crossing.receiver)
            if receiver is None:
                self._drop("no-allocation")
            else:
                effects += self._to_client(receiver, crossing.sender, crossing.payload, now)
        return tuple(effects)

    def _to_peer(
        self, allocation: Allocation, peer: Address, payload: bytes, now: float, dont_fragment: bool = False
    ) -> tuple[Effect, ...]:
        self._counters.client_packets_in += 1
        self._counters.client_bytes_in += len(payload)
        if self._bandwidth is not None and not allocation.usage.spend(len(payload), self._bandwidth, now):
            return self._drop("bandwidth")
        relayed = allocation.relayed_for(peer[0])
        if relayed is None:
            return self._drop("peer-family")
        receiver = self._table.by_relayed.get(peer)
        if receiver is not None:
            return self._hairpin(allocation, relayed, receiver, peer, payload, now)
        if self._policy.reach(peer[0]) is not Reach.NETWORK or self._policy.is_listener(peer):
            return self._drop("peer-denied")
        self._counters.peer_packets_out += 1
        self._counters.peer_bytes_out += len(payload)
        return (SendFromRelay(relayed, peer, payload, dont_fragment),)

    def _hairpin(
        self,
        sender: Allocation,
        relayed: Address,
        receiver: Allocation,
        peer: Address,
        payload: bytes,
        now: float,
    ) -> tuple[Effect, ...]:
        self._counters.hairpinned += 1
        path = None if self._routes is None else self._routes.between(sender.site, receiver.site)
        if path is None:
            return self._to_client(receiver, relayed, payload, now)
        release_at = path.release((relayed, peer), len(payload) + UDP_HEADERS, now)
        if release_at is None:
            return self._drop("lost-on-path")
        self._path.schedule(release_at, _Crossing(release_at, relayed, peer, payload))
        return ()

    def _shortcut_to_peer(
        self, allocation: Allocation, channel: Channel, now: float
    ) -> tuple[Shortcut] | tuple[()]:
        """How the next datagrams in ``channel`` may go, if it is nothing but a table that decides it."""
        client, peer = allocation.five_tuple.client, channel.peer
        relayed = allocation.relayed_for(peer[0])
        if relayed is None:
            return ()
        receiver = self._table.by_relayed.get(peer)
        if receiver is None:
            if self._policy.reach(peer[0]) is not Reach.NETWORK or self._policy.is_listener(peer):
                return ()
            return (self._paid(Shortcut(relayed, peer, channel.expires, client, channel.number), allocation),)
        back = receiver.channel_to(relayed, now)
        if back is None or receiver.five_tuple.transport != "udp":
            return ()
        path = None if self._routes is None else self._routes.between(allocation.site, receiver.site)
        expires = min(channel.expires, back.expires)
        to = receiver.five_tuple.client
        shortcut = Shortcut(relayed, peer, expires, client, channel.number, to, back.number, path)
        return (self._paid(shortcut, allocation, receiver),)

    def _paid(self, shortcut: Shortcut, *payers: Allocation) -> Shortcut:
        if self._bandwidth is None:
            return shortcut
        budgets = tuple(allocation.usage for allocation in payers)
        return shortcut._replace(budgets=budgets, bandwidth=self._bandwidth)

    def _to_client(
        self, allocation: Allocation, peer: Address, payload: bytes, now: float
    ) -> tuple[Effect, ...]:
        channel = allocation.channel_to(peer, now)
        if channel is None and not allocation.permits(peer[0], now):
            return self._drop("no-permission")
        if self._bandwidth is not None and not allocation.usage.spend(len(payload), self._bandwidth, now):
            return self._drop("bandwidth")
        self._counters.client_packets_out += 1
        self._counters.client_bytes_out += len(payload)
        if channel is not None:
            is_stream = allocation.five_tuple.transport != "udp"
            return (
                Send(allocation.five_tuple, encode_channel_data(channel.number, payload, padded=is_stream)),
            )
        return (Send(allocation.five_tuple, self._data_indication(peer, payload)),)

    def _data_indication(self, peer: Address, payload: bytes) -> bytes:
        """An indication is never answered, so a number will do as its transaction ID."""
        self._indications += 1
        transaction_id = self._indications.to_bytes(12, "big")
        values = (XOR_PEER_ADDRESS(peer), DATA(payload))
        return encode(Method.DATA, MessageClass.INDICATION, transaction_id, values)

    def _drop(self, reason: str) -> tuple[Effect, ...]:
        self._counters.drops[reason] += 1
        return ()
