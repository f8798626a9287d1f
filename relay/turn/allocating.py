"""Allocate and Refresh (RFC 8656 §6-§8): who gets a relayed address, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from .allocation import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    Allocation,
    Quotas,
    Reservation,
    ReservationToken,
    Table,
)
from .attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    ALTERNATE_SERVER,
    COTURN_ADDITIONAL_ADDRESS_FAMILY,
    EVEN_PORT,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    RESERVE_NEXT_PORT,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Address,
    AddressError,
    Family,
    Value,
    family_of,
)
from .authentication import Identity, Rejected
from .effects import CloseRelay, Effect, FiveTuple, OpenRelay
from .message import Message

UDP: Final = 17
"""The protocol number in REQUESTED-TRANSPORT."""
TOKEN_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Request:
    """An authenticated request."""

    message: Message
    five_tuple: FiveTuple
    identity: Identity
    now: float
    unix: float
    """``now`` as unix seconds, which credentials expire by."""


class Answer(NamedTuple):
    """A success response and what happens beside it."""

    values: tuple[Value, ...] = ()
    effects: tuple[Effect, ...] = ()


Outcome: TypeAlias = Answer | OpenRelay
"""An answer, or the sockets that an Allocate waits for."""


class Opened(NamedTuple):
    """What the shell has bound: ``relayed`` in the order asked for, ``reserved`` for the next port."""

    relayed: tuple[Address, ...] = ()
    reserved: Address | None = None


class Asked(NamedTuple):
    """What an Allocate asks for, read whole before anything is bound or claimed for it."""

    lifetime: int
    hosts: tuple[str, ...] = ()
    even: bool = False
    reserve: bool = False
    token: ReservationToken | None = None


class Allocating:
    """Makes, refreshes and deletes allocations.

    ``hosts``: the addresses that relayed sockets are bound to, at most one for each family.
    """

    def __init__(self, table: Table, quotas: Quotas, hosts: Sequence[str]) -> None:
        self._table = table
        self._quotas = quotas
        self._hosts: dict[int, str] = {family_of(host): host for host in hosts}
        self._waiting: dict[FiveTuple, tuple[Request, Asked]] = {}
        self.draining = False
        self.full = False
        self.alternate: Address | None = None

    def allocate(self, request: Request) -> Outcome:
        """RFC 8656 §7.2, in the order of its checks."""
        existing = self._table.by_tuple.get(request.five_tuple)
        if existing is not None:
            if existing.transaction_id != request.message.transaction_id:
                raise Rejected(437, "the five-tuple has an allocation already")
            return Answer(self._describe(existing, request))
        _refuse_expired(request)
        transport = request.message.get(REQUESTED_TRANSPORT)
        if transport is None:
            raise Rejected(400, "REQUESTED-TRANSPORT is missing")
        if transport != UDP:
            raise Rejected(442, "only UDP is relayed")
        asked = self._asked(request.message)
        user = request.identity.account.user
        held = len(self._table.usage(user).allocations)
        if asked.token is None:  # what a token claims has been counted
            held += self._table.reservations(user) + asked.reserve
        if held >= self._quotas.allocations:
            raise Rejected(486, "the user has as many allocations as they may have")
        if self.draining:
            if self.alternate is None:
                raise Rejected(508, "the server is draining")
            raise Rejected(300, "the server is draining", ALTERNATE_SERVER(self.alternate))
        if self.full:
            raise Rejected(508, "the server is full")
        if asked.token is not None:
            relayed = self._table.claim(asked.token, user)
            if relayed is None:
                raise Rejected(508, "no such reservation")
            return self._create(request, asked, (relayed,), None)
        self._waiting[request.five_tuple] = request, asked
        return OpenRelay(request.five_tuple, asked.hosts, asked.even, asked.reserve)

    def opened(self, request: Request, asked: Asked, opened: Opened, token: ReservationToken) -> Answer:
        """Go on with an Allocate whose sockets are bound; ``token``: 8 strong random bytes."""
        if not opened.relayed or (asked.reserve and opened.reserved is None):
            raise Rejected(508, "no port is free")
        if opened.reserved is None:
            return self._create(request, asked, opened.relayed, None)
        user = request.identity.account.user
        self._table.reserve(token, Reservation(opened.reserved, user), request.now)
        return self._create(request, asked, opened.relayed, token)

    def stop_waiting(self, five_tuple: FiveTuple) -> tuple[Request, Asked] | None:
        """The Allocate of that client that waited for sockets."""
        return self._waiting.pop(five_tuple, None)

    def refresh(self, request: Request) -> Outcome:
        """RFC 8656 §8.2; a lifetime of 0 deletes, one family if asked, even with expired credentials."""
        allocation = self._table.by_tuple.get(request.five_tuple)
        lifetime = _lifetime(request.message)
        if allocation is None:
            raise Rejected(437, "there is no allocation")
        if allocation.username != request.identity.username:
            raise Rejected(441, "the allocation is another user's")
        family = request.message.get(REQUESTED_ADDRESS_FAMILY)
        if family is not None and all(family != family_of(host) for host, _ in allocation.relayed):
            raise Rejected(443, "the allocation has no address of that family")
        if lifetime == 0:
            closed = self._table.release(allocation, family)
            return Answer((LIFETIME(0),), tuple(map(CloseRelay, closed)))
        _refuse_expired(request)
        self._table.extend(allocation, request.now + lifetime)
        return Answer((LIFETIME(lifetime),))

    def _asked(self, message: Message) -> Asked:
        """What an Allocate asks for, after the checks of RFC 8656 §7.2 (5-10)."""
        family = message.get(REQUESTED_ADDRESS_FAMILY)
        additional = _additional_family(message)
        even_port = message.get(EVEN_PORT)
        reserve = even_port is not None and bool(even_port & RESERVE_NEXT_PORT)
        token = message.get(RESERVATION_TOKEN)
        lifetime = _lifetime(message) or DEFAULT_LIFETIME
        if token is not None:
            if len(token) != TOKEN_SIZE or (family, additional, even_port) != (None, None, None):
                raise Rejected(400, "RESERVATION-TOKEN stands alone")
            return Asked(lifetime, token=token)
        if additional is not None and (additional != Family.IPV6 or family is not None or reserve):
            raise Rejected(400, "ADDITIONAL-ADDRESS-FAMILY asks for IPv6 beside IPv4 and nothing else")
        primary = self._hosts.get(Family.IPV4 if family is None else family)
        if primary is None:
            raise Rejected(440, "no relayed address of that family")
        hosts = [primary]
        if additional is not None and Family.IPV6 in self._hosts:
            hosts.append(self._hosts[Family.IPV6])
        return Asked(lifetime, tuple(hosts), even_port is not None, reserve)

    def _create(
        self,
        request: Request,
        asked: Asked,
        relayed: tuple[Address, ...],
        token: ReservationToken | None,
    ) -> Answer:
        account = request.identity.account
        allocation = Allocation(
            five_tuple=request.five_tuple,
            username=request.identity.username,
            usage=self._table.usage(account.user),
            site=account.site,
            relayed=relayed,
            expires=request.now + asked.lifetime,
            transaction_id=request.message.transaction_id,
            token=token,
        )
        self._table.add(allocation)
        return Answer(self._describe(allocation, request))

    def _describe(self, allocation: Allocation, request: Request) -> tuple[Value, ...]:
        """The attributes of RFC 8656 §7.2's success response."""
        values = [XOR_RELAYED_ADDRESS(address) for address in allocation.relayed]
        values.append(LIFETIME(max(1, round(allocation.expires - request.now))))
        values.append(XOR_MAPPED_ADDRESS(allocation.five_tuple.client))
        if allocation.token is not None:
            values.append(RESERVATION_TOKEN(allocation.token))
        if _additional_family(request.message) is not None and len(allocation.relayed) < 2:
            refused = 508 if Family.IPV6 in self._hosts else 440
            values.append(ADDRESS_ERROR_CODE(AddressError(Family.IPV6, refused)))
        return tuple(values)


def _lifetime(message: Message) -> int:
    """The lifetime granted, in seconds: default to an hour, or 0 as asked (RFC 8656 §7.2, §8.2)."""
    asked = message.get(LIFETIME)
    if asked is None:
        return DEFAULT_LIFETIME
    return 0 if asked == 0 else max(DEFAULT_LIFETIME, min(asked, MAX_LIFETIME))


def _additional_family(message: Message) -> int | None:
    family = message.get(ADDITIONAL_ADDRESS_FAMILY)
    return message.get(COTURN_ADDITIONAL_ADDRESS_FAMILY) if family is None else family


def _refuse_expired(request: Request) -> None:
    expires = request.identity.account.expires
    if expires is not None and expires <= request.unix:
        raise Rejected(401, "the credentials have expired")
