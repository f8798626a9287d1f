"""One end of a quantum link: a bounded pool of key material, the same at both ends. Simulated.

A real link distils the same bits at both ends. Here both ends are given one link secret, drawn afresh
whenever the link starts, and expand it into an endless keystream cut into blocks of 512 bits: 256 of one-time
pad, 256 of one-time MAC key. Either end may spend: each has a substream of its own, so the two never pick the
same block, and both substreams draw on one budget of bits, which grows at the link's rate up to ``capacity``
(a full pool lets the oldest bits go, so that what is left is fresh).

The rule that holds whatever fails: an index is counted as spent *before* its block leaves this module, and
no index is ever given twice. A block that was reserved and not used is lost, not returned. A restart draws a
new secret, so nothing that a crash forgot can come back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from relay.errors import NoKeyMaterial, Refused

BLOCK_BITS = 512
WINDOW = 4096
"""Blocks that frames may overtake each other by; what is further behind is lost."""
IN_FLIGHT = 64
"""Blocks that the other end may have spent before it heard of what this end spent."""
PAD_BYTES = 32
SECRET_BYTES = 32
DEFAULT_CAPACITY = 1 << 20
"""Bits: about 2,000 end keys, two minutes of a 70 km link at the ``field`` rate."""

Side = Literal[0, 1]


@dataclass(frozen=True, slots=True)
class Block:
    """512 bits of link key, once. ``age`` in seconds since the link made them."""

    index: int
    pad: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)
    age: float = 0.0


class LinkEnd:
    """The pool at one end of a link. ``side`` 0 or 1 tells the two ends apart; rates in bits a second."""

    def __init__(
        self,
        secret: bytes,
        side: Side,
        *,
        rate: float,
        now: float,
        capacity: int = DEFAULT_CAPACITY,
        level: float = 0.0,
    ) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError("a link secret has 32 bytes")
        self._secret = secret
        self._side: Side = side
        self._capacity = capacity
        self._level = min(level, capacity)
        self._rate = rate
        self._pace = rate  # the last rate that was not zero: how fast the bits in the pool were made
        self._filled_at = now  # when the newest bit in the pool was made
        self._counted_at = now
        self._next = [0, 0]  # next index of each side's substream
        self._skipped: dict[int, None] = {}  # the other side's blocks that were overtaken, oldest first
        self.spent_bits = 0
        self.lost_bits = 0

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def rate(self) -> float:
        """Bits a second now."""
        return self._rate

    def level(self, now: float) -> float:
        """Bits in the pool; below zero while the link makes up for last bits that both ends spent at once."""
        since = now - self._counted_at
        level = self._level + self._rate * since if since > 0 else self._level
        return level if level < self._capacity else self._capacity

    def age(self, now: float) -> float:
        """Seconds since the oldest bits in the pool were made."""
        newest = now if self._rate > 0 else self._filled_at
        return (now - newest) + (self.level(now) / self._pace if self._pace > 0 else 0.0)

    def set_rate(self, rate: float, now: float) -> None:
        """The link's rate changes: a cut fibre, an eavesdropper, a repair."""
        self._count(now)
        self._rate = rate
        self._pace = rate or self._pace

    def drain(self, now: float) -> None:
        """Throw the pool away; its bits are lost, never given back."""
        self._count(now)
        self.lost_bits += max(0, int(self._level))
        self._level = min(self._level, 0.0)

    def reserve(self, now: float) -> Block:
        """The next block of this end's substream; raises :class:`NoKeyMaterial` when the pool is too low."""
        self._count(now)
        if self._level < BLOCK_BITS:
            raise NoKeyMaterial("a link's key pool is empty; wait for it to fill or use another path")
        age = self.age(now)
        index = self._next[self._side]
        self._spend(self._side, index)
        return self._block(self._side, index, age)

    def peek(self, index: int, now: float) -> Block:
        """The other end's block ``index``, to verify a frame with; spent only by :meth:`claim`.

        A forged frame must not be able to spend blocks. Raises :class:`Refused` when the block was spent
        already, or is further ahead than the pool has bits for.
        """
        self._count(now)
        other: Side = 0 if self._side else 1
        if self._is_spent(index):
            raise Refused("a link key block was used before: replayed frame", code="replay")
        if (index - self._next[other] - IN_FLIGHT) * BLOCK_BITS > self._level:
            raise Refused("a link key block is ahead of what the link has made", code="block-ahead")
        return self._block(other, index, self.age(now))

    def claim(self, block: Block) -> None:
        """Spend a block that :meth:`peek` gave. What the other end skipped has left the pool as well.

        A skipped block is lost unless its frame, which was overtaken, comes within :data:`WINDOW` blocks.
        """
        other: Side = 0 if self._side else 1
        if self._is_spent(block.index):
            raise Refused("a link key block was used before: replayed frame", code="replay")
        if block.index in self._skipped:
            del self._skipped[block.index]
            self.lost_bits -= BLOCK_BITS
            self.spent_bits += BLOCK_BITS
            return
        skipped = range(self._next[other], block.index)
        self.lost_bits += len(skipped) * BLOCK_BITS
        self._skipped |= dict.fromkeys(skipped[-WINDOW:])
        while self._skipped and next(iter(self._skipped)) <= block.index - WINDOW:
            del self._skipped[next(iter(self._skipped))]
        self._spend(other, block.index)

    def _is_spent(self, index: int) -> bool:
        """Whether the other side's block was claimed, or is too far behind to tell."""
        return index < self._next[0 if self._side else 1] and index not in self._skipped

    def _spend(self, side: Side, index: int) -> None:
        self._level -= (index + 1 - self._next[side]) * BLOCK_BITS
        self._next[side] = index + 1
        self.spent_bits += BLOCK_BITS

    def _count(self, now: float) -> None:
        self._level = self.level(now)
        if self._rate > 0:
            self._filled_at = max(self._filled_at, now)
        self._counted_at = max(self._counted_at, now)

    def _block(self, side: Side, index: int, age: float) -> Block:
        # BLAKE2b keyed with the link secret is a pseudorandom function (RFC 7693 clause 2.9) of 512 bits.
        bits = hashlib.blake2b(bytes((side,)) + index.to_bytes(8, "big"), key=self._secret).digest()
        return Block(index, bits[:PAD_BYTES], bits[PAD_BYTES:], age)
