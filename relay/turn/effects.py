"""What the machine asks of the shell, and whom a datagram came from and went to."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias

from relay.path.model import Path

from .attributes import Address

Transport: TypeAlias = Literal["udp", "tcp", "tls"]


class FiveTuple(NamedTuple):
    """How a client reaches the server; it names the client's allocation (RFC 8656 §3)."""

    transport: Transport
    client: Address
    server: Address


class Send(NamedTuple):
    """A message to a client; a stream pads ChannelData to four bytes."""

    to: FiveTuple
    data: bytes


class SendFromRelay(NamedTuple):
    """A datagram to a peer, out of the relayed socket bound to ``relayed``."""

    relayed: Address
    peer: Address
    data: bytes
    dont_fragment: bool = False


class OpenRelay(NamedTuple):
    """Bind one socket to a random port on each of ``hosts``, then tell ``TurnMachine.opened``.

    ``even``: the port is even. ``reserve``: the next port is bound too, for a later allocation.
    """

    five_tuple: FiveTuple
    hosts: tuple[str, ...]
    even: bool
    reserve: bool


class CloseRelay(NamedTuple):
    """Close the socket bound to ``relayed``."""

    relayed: Address


class Budget(Protocol):
    """What one user may still send and get."""

    def affords(self, size: int, rate: float, now: float) -> bool:
        """Whether ``size`` bytes are there, in a bucket that ``rate`` bytes a second fill."""

    def spend(self, size: int, rate: float, now: float) -> bool:
        """Take them; False when they are not there."""


class Shortcut(NamedTuple):
    """What may be done with all datagrams like this one until ``expires``, without asking the machine again.

    It comes from a client over UDP in a channel (``client``, ``number``), or from ``peer`` to the relayed
    address. It goes to another client of this server, in that client's channel (``to``, ``to_number``), or
    out of the relayed socket to ``peer``. Whatever closes ``relayed`` or ``peer`` ends it.
    """

    relayed: Address
    peer: Address
    expires: float
    client: Address | None = None
    number: int = 0
    to: Address | None = None
    to_number: int = 0
    path: Path | None = None
    """The modelled path that lies between."""
    budgets: tuple[Budget, ...] = ()
    """Who pay for each payload byte, where users have a quota of ``bandwidth`` bytes a second."""
    bandwidth: float = 0.0


Effect: TypeAlias = Send | SendFromRelay | OpenRelay | CloseRelay | Shortcut
