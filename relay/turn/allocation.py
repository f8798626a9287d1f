"""Allocations, their permissions and channels, and the tables they are found in (RFC 8656 §3, §9, §12).

Times are seconds of the server's clock. What has run out is not there any more: nothing here needs a timer
except whole allocations and reservations, which hold sockets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .attributes import Address, family_of
from .counters import Counters
from .deadlines import Deadlines
from .effects import FiveTuple
from .quotas import Quotas as Quotas

PERMISSION_LIFETIME: Final = 300.0
CHANNEL_LIFETIME: Final = 600.0
DEFAULT_LIFETIME: Final = 600
MAX_LIFETIME: Final = 3600
RESERVATION_LIFETIME: Final = 30.0

ReservationToken: TypeAlias = bytes


@dataclass(slots=True, eq=False)
class Channel:
    """A channel number bound to a peer's transport address."""

    number: int
    peer: Address
    expires: float


@dataclass(slots=True, eq=False)
class Allocation:
    """Relayed transport addresses (one for each address family) and who may use them."""

    five_tuple: FiveTuple
    username: str
    usage: Usage
    site: str | None
    relayed: tuple[Address, ...]
    expires: float
    transaction_id: bytes
    """Of the Allocate that made it, so that a retransmission gets the same answer (RFC 8656 §7.2)."""
    token: ReservationToken | None = None
    permissions: dict[str, float] = field(default_factory=dict)
    _channels: dict[int | Address, Channel] = field(default_factory=dict)
    """By number and by peer; one table for both, because an allocation's memory is counted."""

    def relayed_for(self, host: str) -> Address | None:
        """The relayed address of the same family as ``host``."""
        is_ipv6 = ":" in host
        for address in self.relayed:
            if (":" in address[0]) == is_ipv6:
                return address
        return None

    def permits(self, host: str, now: float) -> bool:
        """Whether a live permission covers ``host``."""
        return self.permissions.get(host, 0.0) > now

    def permit(self, host: str, now: float) -> None:
        """Install or refresh the permission for ``host``."""
        self.permissions[host] = now + PERMISSION_LIFETIME

    @property
    def channels(self) -> int:
        """How many are bound, those that have run out and were not purged included."""
        return len(self._channels) // 2

    def channel(self, number: int, now: float) -> Channel | None:
        """The live channel of that number."""
        channel = self._channels.get(number)
        return channel if channel is not None and channel.expires > now else None

    def channel_to(self, peer: Address, now: float) -> Channel | None:
        """The live channel bound to ``peer``."""
        channel = self._channels.get(peer)
        return channel if channel is not None and channel.expires > now else None

    def bind(self, number: int, peer: Address, now: float) -> None:
        """Bind or refresh; the caller has seen that neither side is bound otherwise."""
        channel = Channel(number, peer, now + CHANNEL_LIFETIME)
        self._channels[number] = self._channels[peer] = channel

    def purge(self, now: float) -> None:
        """Forget permissions and channels that have run out."""
        self.permissions = {host: at for host, at in self.permissions.items() if at > now}
        self._channels = {end: channel for end, channel in self._channels.items() if channel.expires > now}


class Usage:
    """What one user holds, and a bucket of the bytes they may still send."""

    __slots__ = ("_bytes", "_filled_at", "allocations", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.allocations: set[Allocation] = set()
        self._bytes = 0.0
        self._filled_at = -1.0

    def purge(self, now: float) -> None:
        """Forget every permission and channel that has run out."""
        for allocation in self.allocations:
            allocation.purge(now)

    @property
    def permissions(self) -> int:
        return sum(len(allocation.permissions) for allocation in self.allocations)

    @property
    def channels(self) -> int:
        return sum(allocation.channels for allocation in self.allocations)

    def spend(self, size: int, rate: float, now: float) -> bool:
        """Take ``size`` bytes from a bucket that holds one second of ``rate``; False when it is empty."""
        if not self.affords(size, rate, now):
            return False
        self._bytes -= size
        return True

    def affords(self, size: int, rate: float, now: float) -> bool:
        """Whether that many bytes are in the bucket."""
        self._bytes = min(rate, self._bytes + max(0.0, now - self._filled_at) * rate)
        self._filled_at = max(now, self._filled_at)
        return self._bytes >= size


@dataclass(frozen=True, slots=True)
class Reservation:
    """A bound socket that waits for the allocation of its reserver (RFC 8656 §7.2)."""

    relayed: Address
    user: str


class Table:
    """Every live allocation, found by five-tuple, by relayed address and by user."""

    def __init__(self, counters: Counters) -> None:
        self.by_tuple: dict[FiveTuple, Allocation] = {}
        self.by_relayed: dict[Address, Allocation] = {}
        self._usages: dict[str, Usage] = {}
        self._reservations: dict[ReservationToken, Reservation] = {}
        self._reserved: Counter[str] = Counter()
        self._deadlines: Deadlines[FiveTuple | ReservationToken] = Deadlines()
        self._counters = counters

    def __iter__(self) -> Iterator[Allocation]:
        return iter(self.by_tuple.values())

    def usage(self, user: str) -> Usage:
        """What ``user`` holds; nothing is stored for a user without allocations."""
        return self._usages.get(user) or Usage(user)

    def add(self, allocation: Allocation) -> None:
        self.by_tuple[allocation.five_tuple] = allocation
        for relayed in allocation.relayed:
            self.by_relayed[relayed] = allocation
        self._usages[allocation.usage.user] = allocation.usage
        allocation.usage.allocations.add(allocation)
        self._deadlines.set(allocation.five_tuple, allocation.expires)
        self._counters.allocations += 1
        self._counters.by_transport[allocation.five_tuple.transport] += 1
        self._counters.allocations_made += 1

    def extend(self, allocation: Allocation, expires: float) -> None:
        """Refresh: the allocation now lives until ``expires``."""
        allocation.expires = expires
        self._deadlines.set(allocation.five_tuple, expires)

    def remove(self, allocation: Allocation) -> tuple[Address, ...]:
        """Forget the allocation; returns the addresses whose sockets are to be closed."""
        del self.by_tuple[allocation.five_tuple]
        for relayed in allocation.relayed:
            del self.by_relayed[relayed]
        usage = allocation.usage
        usage.allocations.discard(allocation)
        if not usage.allocations:
            del self._usages[usage.user]
        self._deadlines.discard(allocation.five_tuple)
        self._counters.allocations -= 1
        self._counters.by_transport[allocation.five_tuple.transport] -= 1
        return allocation.relayed

    def release(self, allocation: Allocation, family: int | None) -> tuple[Address, ...]:
        """Give up the address of one family, or the whole allocation when nothing else is left of it."""
        gone = tuple(address for address in allocation.relayed if family_of(address[0]) == family)
        if family is None or gone == allocation.relayed:
            return self.remove(allocation)
        for relayed in gone:
            del self.by_relayed[relayed]
        allocation.relayed = tuple(address for address in allocation.relayed if address not in gone)
        return gone

    def reserve(self, token: ReservationToken, reservation: Reservation, now: float) -> None:
        self._reservations[token] = reservation
        self._reserved[reservation.user] += 1
        self._deadlines.set(token, now + RESERVATION_LIFETIME)

    def reservations(self, user: str) -> int:
        """How many sockets wait for ``user``'s next allocations."""
        return self._reserved[user]

    def claim(self, token: ReservationToken, user: str) -> Address | None:
        """The reserved address, if it was ``user`` who reserved it; a token works once."""
        reservation = self._reservations.get(token)
        if reservation is None or reservation.user != user:
            return None
        self._deadlines.discard(token)
        return self._forget_reservation(token)

    @property
    def deadline(self) -> float | None:
        return self._deadlines.next

    def expire(self, now: float) -> list[Address]:
        """Forget what has run out; returns the addresses whose sockets are to be closed."""
        closed: list[Address] = []
        for key in self._deadlines.due(now):
            if isinstance(key, FiveTuple):
                closed += self.remove(self.by_tuple[key])
                self._counters.allocations_expired += 1
            else:
                closed.append(self._forget_reservation(key))
        return closed

    def _forget_reservation(self, token: ReservationToken) -> Address:
        reservation = self._reservations.pop(token)
        self._reserved[reservation.user] -= 1
        if not self._reserved[reservation.user]:
            del self._reserved[reservation.user]
        return reservation.relayed
