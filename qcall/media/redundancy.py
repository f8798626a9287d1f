"""Redundant audio in one RTP payload (RFC 2198): the new frame, and an older one once more.

F=1, type of the older (7 bits), its timestamp offset (14), its length (10)
F=0, type of the new one (7)
the older frame, the new frame
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

LARGEST_OFFSET = (1 << 14) - 1
"""Timestamp units that a copy may be older: 341 ms at 48 kHz."""
LARGEST_COPY = (1 << 10) - 1
"""Bytes of a copy."""


class Copy(NamedTuple):
    """A frame that is sent once more."""

    timestamp: int
    payload: bytes


def pack(payload_type: int, timestamp: int, payload: bytes, copy: Copy) -> bytes:
    """The redundant payload of a packet at ``timestamp``; both frames have ``payload_type``."""
    offset = (timestamp - copy.timestamp) & 0xFFFFFFFF
    if offset > LARGEST_OFFSET or len(copy.payload) > LARGEST_COPY:
        raise ValueError("the copy is too old or too long")
    block = 1 << 31 | payload_type << 24 | offset << 10 | len(copy.payload)
    return block.to_bytes(4, "big") + bytes([payload_type]) + copy.payload + payload


def unpack(timestamp: int, redundant: bytes) -> tuple[bytes, list[Copy]]:
    """The new frame of a packet at ``timestamp``, and the copies beside it. Raises ``ValueError``."""
    headers = list(block_headers(redundant))
    at = 4 * len(headers) + 1
    copies = []
    for offset, length in headers:
        copies.append(Copy((timestamp - offset) & 0xFFFFFFFF, redundant[at : at + length]))
        at += length
    if at > len(redundant):
        raise ValueError("a redundant payload is cut short")
    return redundant[at:], copies


def block_headers(redundant: bytes) -> Iterator[tuple[int, int]]:
    """Timestamp offset and length of every copy."""
    at = 0
    while at < len(redundant) and redundant[at] & 0x80:
        block = int.from_bytes(redundant[at : at + 4], "big")
        yield block >> 10 & LARGEST_OFFSET, block & LARGEST_COPY
        at += 4
    if at >= len(redundant):
        raise ValueError("a redundant payload has no new frame")
