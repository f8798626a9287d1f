"""Who is registered where, and where an envelope goes. Pure: time is an argument, effects come out.

A registration is a lease: it ends when no heartbeat has come for ``ttl`` seconds. Every login gets an epoch
that rises, also over restarts of the relay, and everything a connection does is done under its epoch: a
newer login of the same name fences the older one, which can change nothing any more.

An envelope is opaque. It is carried once per (sender, receiver, call_id, seq): a repetition is accepted again
and goes nowhere. Between two sites it takes the path's delay, outside of here. Nothing is kept for phones
that are offline.

    envelope ─ route ─▶ Cross ─ the path ─┬─ arrive ─▶ Send(Delivery)
                  └───────────────────────┴─ lost ───▶ Send(Failed) to the sender
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from qcall.wire.signalling import (
    LEASE_TTL,
    Accepted,
    Code,
    Delivery,
    Envelope,
    Failed,
    FromRelay,
    Presence,
    Reason,
    Watch,
)
from relay.path.wheel import Wheel

from .budget import Budget, Rate
from .presence import Notice, Watchers


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user may do; times in seconds, ``octets`` counts payload bytes.

    The rate of new calls makes guessing the words of a call hopeless: an uncompleted first message is a free
    guess (10 a minute).
    """

    ttl: float = LEASE_TTL
    envelopes: Rate = field(default_factory=lambda: Rate(per_second=20.0, burst=60.0))
    octets: Rate = field(default_factory=lambda: Rate(per_second=131_072.0, burst=524_288.0))
    new_calls: Rate = field(default_factory=lambda: Rate(per_second=10 / 60, burst=10.0))
    call_memory: float = 600.0
    watches: Rate = field(default_factory=lambda: Rate(per_second=0.5, burst=20.0))


@dataclass(frozen=True, slots=True)
class Registration:
    """A phone that is online; ``epoch`` names the login by which it is."""

    name: str
    site: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Send:
    """Write ``message`` to the connection of ``epoch``."""

    epoch: int
    message: FromRelay


@dataclass(frozen=True, slots=True)
class Drop:
    """End the connection of ``epoch``."""

    epoch: int
    code: Code


@dataclass(frozen=True, slots=True)
class Cross:
    """Carry ``delivery`` over the path between the sites, then hand this to ``arrive`` or to ``lost``."""

    source: str
    target: str
    to: str
    delivery: Delivery


Effect = Send | Drop | Cross
_Pair = tuple[bytes, frozenset[str]]


class Directory:
    """The registrations of one relay.

    ``known`` tells whether someone is enrolled under a name; ``first_epoch`` must be above all epochs of
    earlier runs (wall-clock nanoseconds are). ``now`` never runs backwards.
    """

    def __init__(
        self, known: Callable[[str], bool], *, first_epoch: int, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.counters: Counter[str] = Counter()
        self.busy = False
        """Whether the relay takes no new calls; those that are known go on."""
        self._known = known
        self._next_epoch = first_epoch
        self._by_epoch: dict[int, Registration] = {}
        self._by_name: dict[str, int] = {}
        self._lease: dict[int, float] = {}  # the one that ends first comes first
        self._envelopes = Budget(self.limits.envelopes)
        self._octets = Budget(self.limits.octets)
        self._new_calls = Budget(self.limits.new_calls)
        self._watches = Budget(self.limits.watches)
        self._watchers = Watchers()
        self._calls: dict[_Pair, set[tuple[str, int]]] = {}
        self._ending: Wheel[_Pair] = Wheel()

    def __len__(self) -> int:
        return len(self._by_epoch)

    @property
    def deadline(self) -> float | None:
        """When ``timer`` wants to be called next."""
        times = (next(iter(self._lease.values()), None), self._ending.deadline)
        return min((time for time in times if time is not None), default=None)

    def online(self, name: str) -> Registration | None:
        """The registration of ``name``; ``None`` when its phone is offline."""
        epoch = self._by_name.get(name)
        return None if epoch is None else self._by_epoch[epoch]

    def login(self, name: str, site: str, now: float) -> tuple[Registration, tuple[Effect, ...]]:
        """Register a phone whose signatures have been verified; fences its older connection, if any."""
        effects = self._end(self._by_name.get(name), Code.SUPERSEDED)
        registration = Registration(name, site, self._next_epoch)
        self._next_epoch += 1
        self._by_epoch[registration.epoch] = registration
        self._by_name[name] = registration.epoch
        self._lease[registration.epoch] = now + self.limits.ttl
        self.counters["logins"] += 1
        return registration, effects

    def heartbeat(self, epoch: int, now: float) -> bool:
        """Extend the lease of ``epoch``; false if there is none any more."""
        if self._lease.pop(epoch, None) is None:
            return False
        self._lease[epoch] = now + self.limits.ttl
        return True

    def leave(self, epoch: int) -> tuple[Effect, ...]:
        """The connection of ``epoch`` is closed; an older one's closing does not touch a newer login."""
        return self._end(epoch, None)

    def expel(self, name: str) -> tuple[Effect, ...]:
        """Nobody is enrolled as ``name`` any more: a phone that is online as that goes."""
        return self._end(self._by_name.get(name), Code.NOT_ENROLLED)

    def watch(self, epoch: int, message: Watch, now: float) -> tuple[Effect, ...]:
        """The phone that holds ``epoch`` says whom it watches; too often, and it is not heard."""
        watcher = self._by_epoch.get(epoch)
        if watcher is None or not self._watches.spend(watcher.name, now):
            return ()
        return self._told(self._watchers.watch(watcher.name, message.names, message.busy))

    def _told(self, notices: list[Notice]) -> tuple[Effect, ...]:
        online = ((self._by_name.get(name), people) for name, people in notices)
        return tuple(Send(epoch, Presence(people)) for epoch, people in online if epoch is not None)

    def timer(self, now: float) -> tuple[Effect, ...]:
        """End the leases that have run out, and forget old calls."""
        effects: list[Effect] = []
        for epoch in [epoch for epoch, until in self._lease.items() if until <= now]:
            effects += self._end(epoch, Code.TIMEOUT)
        for pair in self._ending.due(now):
            del self._calls[pair]
        return tuple(effects)

    def route(self, epoch: int, envelope: Envelope, now: float) -> tuple[Effect, ...]:
        """An envelope from the phone that holds ``epoch``; one from a fenced connection goes nowhere."""
        sender = self._by_epoch.get(epoch)
        if sender is None:
            return ()
        pair = (envelope.call_id, frozenset((sender.name, envelope.to)))
        if self.busy and pair not in self._calls:
            return self._fail(epoch, envelope, Reason.BUSY_RELAY)
        if not (
            self._envelopes.spend(sender.name, now)
            and self._octets.spend(sender.name, now, len(envelope.payload))
            and self._opens(pair, sender.name, now)
        ):
            return self._fail(epoch, envelope, Reason.RATE_LIMITED)
        carried = self._calls[pair]
        accepted = Send(epoch, Accepted(envelope.call_id, envelope.seq))
        if (sender.name, envelope.seq) in carried:
            self.counters["envelopes-repeated"] += 1
            return (accepted,)
        target = self.online(envelope.to)
        if target is None:
            known = self._known(envelope.to)
            return self._fail(epoch, envelope, Reason.OFFLINE if known else Reason.UNKNOWN_CONTACT)
        carried.add((sender.name, envelope.seq))
        self.counters["envelopes-accepted"] += 1
        delivery = Delivery(sender.name, sender.site, envelope.call_id, envelope.seq, envelope.payload)
        return (accepted, Cross(sender.site, target.site, target.name, delivery))

    def arrive(self, crossed: Cross) -> tuple[Effect, ...]:
        """What ``route`` sent over the path has come out: to the phone, by whatever login it has now."""
        epoch = self._by_name.get(crossed.to)
        if epoch is None:
            return self.lost(crossed, Reason.OFFLINE)
        self.counters["envelopes-delivered"] += 1
        return (Send(epoch, crossed.delivery),)

    def lost(self, crossed: Cross, reason: Reason) -> tuple[Effect, ...]:
        """What ``route`` sent over the path did not come out: its sender may send it again."""
        self.counters[f"envelopes-failed-{reason}"] += 1
        delivery = crossed.delivery
        pair = (delivery.call_id, frozenset((delivery.sender, crossed.to)))
        self._calls.get(pair, set()).discard((delivery.sender, delivery.seq))
        sender = self._by_name.get(delivery.sender)
        if sender is None:
            return ()
        return (Send(sender, Failed(delivery.call_id, delivery.seq, reason)),)

    def _opens(self, pair: _Pair, name: str, now: float) -> bool:
        """Whether the call is known or may begin: either side may write in a call that one has opened."""
        if pair not in self._calls:
            if not self._new_calls.spend(name, now):
                return False
            self._calls[pair] = set()
            self._ending.schedule(now + self.limits.call_memory, pair)
        return True

    def _fail(self, epoch: int, envelope: Envelope, reason: Reason) -> tuple[Effect, ...]:
        self.counters[f"envelopes-failed-{reason}"] += 1
        return (Send(epoch, Failed(envelope.call_id, envelope.seq, reason)),)

    def _end(self, epoch: int | None, code: Code | None) -> tuple[Effect, ...]:
        registration = self._by_epoch.pop(epoch, None) if epoch is not None else None
        if registration is None:
            return ()
        del self._lease[registration.epoch]
        del self._by_name[registration.name]
        self.counters[f"registrations-ended-{code or 'closed'}"] += 1
        notices = self._told(self._watchers.leave(registration.name))
        return (Drop(registration.epoch, code), *notices) if code else notices
