"""How many answers an unauthenticated source may draw: token buckets in a table of fixed size.

Answers to forged requests hit whoever's address was forged, so they are counted per source. The table never
grows: sources that share a slot share its bucket, and which do is known to the holder of the key only.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

from .attributes import packed

SLOTS: Final = 8192
IPV6_SITE: Final = 8
"""Bytes of an IPv6 address that count as one source: whoever has one address has the /64."""


class Throttle:
    """``rate`` answers a second to each source, as many at once after a quiet second."""

    def __init__(self, key: bytes, rate: float) -> None:
        self._key = key
        self._rate = rate
        self._tokens = array("d", [rate]) * SLOTS
        self._filled_at = array("d", [0.0]) * SLOTS

    def admits(self, host: str, now: float) -> bool:
        """Take one answer from the bucket of ``host``; False when there is none left."""
        source = packed(host)[:IPV6_SITE]
        digest = hashlib.blake2b(source, key=self._key, digest_size=4).digest()
        slot = int.from_bytes(digest, "big") % SLOTS
        gained = (now - self._filled_at[slot]) * self._rate
        tokens = min(max(self._rate, 1.0), self._tokens[slot] + gained)
        self._filled_at[slot] = now
        self._tokens[slot] = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1
