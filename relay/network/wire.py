"""What trusted nodes in processes of their own say to each other: msgpack that rejects what it knows not."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from relay.errors import NoKeyMaterial, Refused

from .key_relay import HopReport


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Everything between nodes is msgpack and rejects what it does not know."""


class LinkNews(_Wire, frozen=True):
    """A link as one of its ends sees it: rate in bits a second, level in bits."""

    a: str
    b: str
    condition: str
    rate: float
    level: float
    qber: float


class NodeNews(_Wire, frozen=True):
    """What a node published at a unix time: its links, and how many calls draw keys there, by link."""

    node: str
    at: float
    links: tuple[LinkNews, ...]
    calls: dict[str, int]


class LinkOffer(_Wire, frozen=True):
    """From a link's first node: a new session and its secret, or the question whether one still stands."""

    session: bytes
    secret: bytes = b""
    warm: bool = False
    """Whether the link is opened for the first time, and starts as if it had been running for a while."""
    news: tuple[NodeNews, ...] = ()


class LinkAnswer(_Wire, frozen=True):
    """Whether the session stands now."""

    stands: bool
    news: tuple[NodeNews, ...] = ()


class Ack(_Wire, frozen=True):
    """The key has arrived; what each hop was like, and what each link's pool still holds, from here on."""

    hops: tuple[HopReport, ...]
    levels: tuple[float, ...] = ()


class Fault(_Wire, frozen=True):
    """A request failed; ``a`` and ``b`` name the link, when it was a link."""

    code: str
    text: str
    a: str = ""
    b: str = ""


class PeerFailed(NoKeyMaterial):
    """Another node cannot be reached, or refused; ``fault`` says where."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text, code=fault.code)
        self.fault = fault


class Peers(Protocol):
    """The way to other nodes."""

    async def ask(self, node: str, action: str, body: bytes, *, timeout: float) -> bytes:
        """What ``node`` answers; raises :class:`PeerFailed`."""


def encode(message: Any) -> bytes:
    """One message as msgpack."""
    return msgspec.msgpack.encode(message)


def decode(body: bytes, kind: Any) -> Any:
    """A message of this kind; raises :class:`Refused`."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("a message between nodes is malformed", code="bad-request") from None
