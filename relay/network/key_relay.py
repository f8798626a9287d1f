"""One hop of the key relay: a one-time pad over the end key, a one-time MAC over the whole frame.

A frame is ``tag ‖ body``. The body is msgpack: the two nodes of the hop, the index of the link-key block, the
end key under the block's pad, and the message that goes with it. The tag is Poly1305 (RFC 8439 clause 2.5)
over the body under the block's MAC key, which no other frame ever uses: a Wegman-Carter MAC, secure against
any adversary, with a forging chance below 2^-90 at this size. Nothing of a frame is outside the tag.
The next node verifies, decrypts and encrypts for its own next hop, so every node on a path sees the end key:
that is what *trusted node* means.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from relay.errors import Refused

from .link import PAD_BYTES, Block, LinkEnd

VERSION = 1
TAG_BYTES = 16
MAX_PATH = 512


class HopReport(NamedTuple):
    """What one hop of a path was like when the key crossed it."""

    qber: float
    age: float
    """Seconds since the link made the bits that carried the key."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What travels with an end key. ``path`` names every node; ``position`` is the sender's index in it."""

    key_id: str
    sequence: int
    """Counts up per source node: a target takes each number once."""
    path: tuple[str, ...]
    position: int = 0
    hops: tuple[HopReport, ...] = ()
    share: int = 0
    """Which of ``shares`` XOR shares of the key this is; 0 of 1 is the key itself."""
    shares: int = 1
    attempt: int = 0
    """Sequence number of the first share: shares of different attempts do not fit together."""

    @property
    def next_node(self) -> str:
        return self.path[self.position + 1]


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    sender: str
    receiver: str
    block: int
    padded: bytes
    message: Message


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)


class HopRejected(Refused):
    """A frame was forged, damaged, replayed or sent to the wrong node; nothing was spent on it."""

    code = "hop-rejected"


def seal(block: Block, message: Message, key: bytes) -> bytes:
    """The frame that carries ``key`` one hop on; ``block`` was reserved for this alone."""
    sender, receiver = message.path[message.position], message.next_node
    body = _encoder.encode(_Body(VERSION, sender, receiver, block.index, xor(key, block.pad), message))
    return Poly1305.generate_tag(block.mac_key, body) + body


def open_frame(
    link: LinkEnd, frame: bytes, *, sender: str, receiver: str, now: float
) -> tuple[Message, bytes]:
    """The message and end key of a frame that came over ``link``; raises :class:`HopRejected`.

    The block is spent only when the tag is right.
    """
    body = frame[TAG_BYTES:]
    try:
        parsed = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise HopRejected("a key relay frame is malformed") from None
    message = parsed.message
    if (parsed.version, parsed.sender, parsed.receiver) != (VERSION, sender, receiver):
        raise HopRejected("a key relay frame is of another version or for another node")
    if len(parsed.padded) != PAD_BYTES or not _consistent(parsed):
        raise HopRejected("a key relay frame contradicts itself")
    try:
        block = link.peek(parsed.block, now)
        Poly1305.verify_tag(block.mac_key, body, frame[:TAG_BYTES])
    except InvalidSignature:
        raise HopRejected(
            "a key relay frame was tampered with: its tag is wrong", code="hop-forged"
        ) from None
    except Refused as error:
        raise HopRejected(str(error), code=error.code) from None
    link.claim(block)
    return message, xor(parsed.padded, block.pad)


def split(key: bytes, count: int, entropy: Callable[[int], bytes]) -> list[bytes]:
    """``count`` shares whose XOR is ``key``; any fewer of them are independent of it.

    Every attempt splits anew: a share that went one way in one attempt must never fit the rest of another.
    """
    shares = [entropy(len(key)) for _ in range(count - 1)]
    return [*shares, join([key, *shares])]


def join(shares: Sequence[bytes]) -> bytes:
    """The XOR of all shares."""
    return functools.reduce(xor, shares)


def xor(a: bytes, b: bytes) -> bytes:
    """Bitwise exclusive or of two strings of one length."""
    if len(a) != len(b):
        raise ValueError("a one-time pad is exactly as long as what it covers")
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def _consistent(body: _Body) -> bool:
    message = body.message
    return (
        0 <= message.position < len(message.path) - 1 < MAX_PATH
        and message.path[message.position] == body.sender
        and message.next_node == body.receiver
        and len(message.hops) == message.position + 1
        and 0 <= message.share < message.shares
    )
