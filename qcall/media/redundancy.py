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


class Block(NamedTuple):
    """What travels beside the new frame: an older frame once more, or a named event."""

    payload_type: int
    timestamp: int
    payload: bytes


def is_young(timestamp: int, block: Block) -> bool:
    """Whether ``block`` can still travel in a packet at ``timestamp``."""
    return (timestamp - block.timestamp) & 0xFFFFFFFF <= LARGEST_OFFSET


def pack(payload_type: int, timestamp: int, payload: bytes, block: Block) -> bytes:
    """The redundant payload of a packet at ``timestamp``, whose new frame has ``payload_type``."""
    if not is_young(timestamp, block) or len(block.payload) > LARGEST_COPY:
        raise ValueError("the copy is too old or too long")
    offset = (timestamp - block.timestamp) & 0xFFFFFFFF
    header = 1 << 31 | block.payload_type << 24 | offset << 10 | len(block.payload)
    return header.to_bytes(4, "big") + bytes([payload_type]) + block.payload + payload


def unpack(timestamp: int, redundant: bytes) -> tuple[int, bytes, list[Block]]:
    """Type and bytes of the new frame of a packet at ``timestamp``, and what travels beside it.

    Raises ``ValueError`` for what is cut short.
    """
    headers = list(block_headers(redundant))
    at = 4 * len(headers) + 1
    blocks = []
    for payload_type, offset, length in headers:
        blocks.append(Block(payload_type, (timestamp - offset) & 0xFFFFFFFF, redundant[at : at + length]))
        at += length
    if at > len(redundant):
        raise ValueError("a redundant payload is cut short")
    return redundant[4 * len(headers)], redundant[at:], blocks


def block_headers(redundant: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, timestamp offset and length of every block beside the new frame."""
    at = 0
    while at < len(redundant) and redundant[at] & 0x80:
        header = int.from_bytes(redundant[at : at + 4], "big")
        yield header >> 24 & 0x7F, header >> 10 & LARGEST_OFFSET, header & LARGEST_COPY
        at += 4
    if at >= len(redundant):
        raise ValueError("a redundant payload has no new frame")
