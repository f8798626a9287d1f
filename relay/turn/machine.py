"""The TURN server without its sockets: a datagram and the time in, effects out (RFC 8489, RFC 8656).

ChannelData and Send indications go straight to the data plane; requests are authenticated first and then
looked up in one table. Nothing is remembered about a client before it has shown a valid nonce and password.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.path.routes import Routes

from .allocating import Allocating, Answer, Opened, Outcome, Request
from .allocation import Quotas, Table
from .attributes import ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS, Address, Error, Malformed, Value
from .authentication import Authenticator, Rejected
from .counters import Counters
from .credentials import Credentials
from .effects import CloseRelay, Effect, FiveTuple, OpenRelay, Send
from .message import Integrity, Message, MessageClass, Method, encode, is_channel_data, parse
from .nonces import Nonces
from .peers import IPNetwork, PeerPolicy
from .permitting import Permitting
from .relaying import Relaying
from .throttle import Throttle

CHALLENGES_PER_SECOND: Final = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What one TURN server is told. ``relay_hosts``: at most one address of each family."""

    realm: str
    relay_hosts: tuple[str, ...]
    listeners: tuple[Address, ...]
    allow_peers: tuple[IPNetwork, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    challenges_per_second: float = CHALLENGES_PER_SECOND
    """Answers to unauthenticated requests that one source address may draw."""


class TurnMachine:
    """One TURN server.

    ``secret``: 32 strong random bytes, good for the life of the process. ``wall_offset``: what to add to
    ``now`` for unix seconds; the shell keeps it true, because credentials expire by the wall clock.
    ``shortcuts``: whether the shell has a fast path that wants to be told.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        secret: bytes,
        *,
        routes: Routes | None = None,
        wall_offset: float = 0.0,
        shortcuts: bool = False,
    ) -> None:
        self.counters = Counters()
        self.wall_offset = wall_offset
        self._credentials = credentials
        self._table = Table(self.counters)
        policy = PeerPolicy(
            allow=settings.allow_peers, own_hosts=settings.relay_hosts, listeners=settings.listeners
        )
        self._authenticator = Authenticator(settings.realm, credentials, Nonces(secret))
        self._throttle = Throttle(secret, settings.challenges_per_second)
        self._relaying = Relaying(self._table, policy, settings.quotas, self.counters, routes, shortcuts)
        self._allocating = Allocating(self._table, settings.quotas, settings.relay_hosts)
        permitting = Permitting(self._table, policy, settings.quotas)
        self._handlers: dict[int, Callable[[Request], Outcome]] = {
            Method.ALLOCATE: self._allocating.allocate,
            Method.REFRESH: self._allocating.refresh,
            Method.CREATE_PERMISSION: permitting.create_permission,
            Method.CHANNEL_BIND: permitting.channel_bind,
        }

    @property
    def deadline(self) -> float | None:
        """When ``timer`` is due next; None while nothing can run out."""
        expiry, release = self._table.deadline, self._relaying.deadline
        if expiry is None or (release is not None and release < expiry):
            return release
        return expiry

    def receive(self, data: bytes, five_tuple: FiveTuple, now: float) -> tuple[Effect, ...]:
        """One datagram, or one message of a stream, from a client. Never raises."""
        try:
            if is_channel_data(data):
                return self._relaying.channel_data(data, five_tuple, now)
            message = parse(data)
            if message.message_class is MessageClass.REQUEST:
                return self._request(message, five_tuple, now)
            if message.message_class is MessageClass.INDICATION and message.method == Method.SEND:
                return self._relaying.send_indication(message, five_tuple, now)
        except Malformed:
            return self._drop("malformed")
        return () if message.method == Method.BINDING else self._drop("unexpected")

    def from_peer(self, relayed: Address, peer: Address, data: bytes, now: float) -> tuple[Effect, ...]:
        """One datagram that came to the socket bound to ``relayed``."""
        return self._relaying.from_peer(relayed, peer, data, now)

    def opened(self, five_tuple: FiveTuple, opened: Opened, token: bytes, now: float) -> tuple[Effect, ...]:
        """The answer to ``OpenRelay``; ``token``: 8 strong random bytes."""
        waiting = self._allocating.stop_waiting(five_tuple)
        bound = (*opened.relayed, opened.reserved) if opened.reserved else opened.relayed
        unused = tuple(map(CloseRelay, bound))
        if waiting is None:
            return unused
        request, asked = waiting
        try:
            return self._succeed(request, self._allocating.opened(request, asked, opened, token))
        except Rejected as rejected:
            return *unused, *self._refuse(request, rejected)

    def serves(self, five_tuple: FiveTuple) -> bool:
        """Whether the client has an allocation."""
        return five_tuple in self._table.by_tuple

    def disconnected(self, five_tuple: FiveTuple) -> tuple[Effect, ...]:
        """The client's connection is gone, and its allocation with it (RFC 8656 §7.2)."""
        self._allocating.stop_waiting(five_tuple)
        allocation = self._table.by_tuple.get(five_tuple)
        return () if allocation is None else tuple(map(CloseRelay, self._table.remove(allocation)))

    def expel(self, user: str, until: float) -> tuple[Effect, ...]:
        """End what ``user`` has allocated; see :meth:`Credentials.void` for ``until``."""
        self._credentials.void(user, until)
        allocations = tuple(self._table.usage(user).allocations)
        return tuple(CloseRelay(relayed) for each in allocations for relayed in self._table.remove(each))

    def timer(self, now: float, until: float | None = None) -> tuple[Effect, ...]:
        """Deliver what has crossed the modelled path and forget what has run out.

        ``until``: what is due after that has to wait, although its time has come.
        """
        until = now if until is None else until
        released = self._relaying.due(now, until)
        return released + tuple(map(CloseRelay, self._table.expire(until)))

    @property
    def full(self) -> bool:
        """Whether new allocations are refused because those that live would suffer; the shell measures it."""
        return self._allocating.full

    @full.setter
    def full(self, is_full: bool) -> None:
        self._allocating.full = is_full

    def drain(self, alternate: Address | None = None) -> None:
        """Refuse new allocations from now on, naming ``alternate`` as where to go; keep those that live."""
        self._allocating.draining = True
        self._allocating.alternate = alternate

    def _request(self, message: Message, five_tuple: FiveTuple, now: float) -> tuple[Effect, ...]:
        if message.method == Method.BINDING:
            return self._binding(message, five_tuple, now)
        handler = self._handlers.get(message.method)
        if handler is None:
            return self._drop("unexpected")
        try:
            identity = self._authenticator.identify(message, five_tuple.client, now)
        except Rejected as rejected:
            return self._refuse_stranger(message, five_tuple, rejected, now)
        except Malformed as malformed:
            return self._refuse_stranger(message, five_tuple, Rejected(400, str(malformed)), now)
        request = Request(message, five_tuple, identity, now, now + self.wall_offset)
        try:
            if message.uncomprehended:
                raise Rejected(420, "unknown attributes", UNKNOWN_ATTRIBUTES(message.uncomprehended))
            outcome = handler(request)
        except Rejected as rejected:
            return self._refuse(request, rejected)
        except Malformed as malformed:
            return self._refuse(request, Rejected(400, str(malformed)))
        if isinstance(outcome, OpenRelay):
            return (outcome,)
        return self._succeed(request, outcome)

    def _binding(self, message: Message, five_tuple: FiveTuple, now: float) -> tuple[Effect, ...]:
        """The one request that needs no credentials (RFC 8489 §2)."""
        if message.uncomprehended:
            rejected = Rejected(420, "unknown attributes", UNKNOWN_ATTRIBUTES(message.uncomprehended))
            return self._refuse_stranger(message, five_tuple, rejected, now)
        return _respond(message, five_tuple, MessageClass.SUCCESS, (XOR_MAPPED_ADDRESS(five_tuple.client),))

    def _succeed(self, request: Request, answer: Answer) -> tuple[Effect, ...]:
        integrity = request.identity.integrity
        response = _respond(
            request.message, request.five_tuple, MessageClass.SUCCESS, answer.values, integrity
        )
        return *answer.effects, *response

    def _refuse(self, request: Request, rejected: Rejected) -> tuple[Effect, ...]:
        self.counters.errors[rejected.status] += 1
        values = (ERROR_CODE(Error(rejected.status)), *rejected.values)
        integrity = request.identity.integrity
        return _respond(request.message, request.five_tuple, MessageClass.ERROR, values, integrity)

    def _refuse_stranger(
        self, message: Message, five_tuple: FiveTuple, rejected: Rejected, now: float
    ) -> tuple[Effect, ...]:
        """An error to an address that may be forged: small, unprotected, and not too often."""
        self.counters.auth_failures[rejected.status] += 1
        if not self._throttle.admits(five_tuple.client[0], now):
            return self._drop("throttled")
        values = (ERROR_CODE(Error(rejected.status)), *rejected.values)
        return _respond(message, five_tuple, MessageClass.ERROR, values)

    def _drop(self, reason: str) -> tuple[Effect, ...]:
        self.counters.drops[reason] += 1
        return ()


def _respond(
    message: Message,
    five_tuple: FiveTuple,
    message_class: MessageClass,
    values: Sequence[Value],
    integrity: Integrity | None = None,
) -> tuple[Effect, ...]:
    data = encode(message.method, message_class, message.transaction_id, values, integrity=integrity)
    return (Send(five_tuple, data),)
