"""RTCP extended reports: exactly which packets were lost (RFC 3611, Loss RLE report block, section 4.1).

A receiver report of RFC 3550 says how many were lost; against bursts one has to know which.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PACKET_TYPE = 207
LOSS_RLE = 1
LONGEST = 1_500
"""Packets that one report may speak of: half a minute; more is refused."""
CHUNK_BITS = 15
HEADER = struct.Struct("!BBH")
BLOCK = struct.Struct("!BBHIHH")


@dataclass(frozen=True, slots=True)
class LossReport:
    """What became of the packets of one RTP stream from sequence number ``begin`` (16 bits) on."""

    source: int
    """SSRC of the stream."""
    begin: int
    received: tuple[bool, ...]


def pack(reporter: int, report: LossReport) -> bytes:
    """One XR packet with one Loss RLE block of bit vector chunks (RFC 3611, sections 2 and 4.1)."""
    chunks = []
    for at in range(0, len(report.received), CHUNK_BITS):
        bits = report.received[at : at + CHUNK_BITS]
        vector = sum(received << CHUNK_BITS - 1 - index for index, received in enumerate(bits))
        chunks.append(0x8000 | vector)
    chunks += [0] * (len(chunks) % 2)
    end = (report.begin + len(report.received)) & 0xFFFF
    body = b"".join(chunk.to_bytes(2, "big") for chunk in chunks)
    block = BLOCK.pack(LOSS_RLE, 0, 2 + len(body) // 4, report.source, report.begin, end) + body
    return HEADER.pack(0x80, PACKET_TYPE, 1 + len(block) // 4) + struct.pack("!I", reporter) + block


def split(compound: bytes) -> tuple[bytes, list[LossReport]]:
    """A compound RTCP packet without its XR packets, and the loss reports in those.

    What is malformed is left where it is, or left out: nothing is raised.
    """
    rest = bytearray()
    reports: list[LossReport] = []
    for packet in packets(compound):
        if len(packet) >= 8 and packet[1] == PACKET_TYPE:
            reports += blocks(packet[8:])
        else:
            rest += packet
    return bytes(rest), reports


def packets(compound: bytes) -> Iterator[bytes]:
    """The packets of a compound packet (RFC 3550, section 6.1); what is cut short comes last, as it is."""
    while len(compound) >= HEADER.size:
        size = 4 * (HEADER.unpack_from(compound)[2] + 1)
        yield compound[:size]
        compound = compound[size:]
    if compound:
        yield compound


def blocks(body: bytes) -> Iterator[LossReport]:
    """The Loss RLE blocks of an XR packet's body; blocks of other types are passed over."""
    while len(body) >= 4:
        kind, _, words = HEADER.unpack_from(body)
        block, body = body[: 4 * (words + 1)], body[4 * (words + 1) :]
        if kind != LOSS_RLE or len(block) < BLOCK.size or len(block) % 4:
            continue
        _, thinning, _, source, begin, end = BLOCK.unpack_from(block)
        length = (end - begin) & 0xFFFF
        if thinning & 0x0F or length > LONGEST:
            continue
        chunks = struct.unpack(f"!{(len(block) - BLOCK.size) // 2}H", block[BLOCK.size :])
        received = tuple(unpack_chunks(chunks, length))
        if len(received) == length:
            yield LossReport(source, begin, received)


def unpack_chunks(chunks: Sequence[int], length: int) -> list[bool]:
    """Up to ``length`` packets from run length and bit vector chunks (RFC 3611, section 4.1)."""
    received: list[bool] = []
    for chunk in chunks:
        if chunk == 0 or len(received) >= length:
            break
        if chunk & 0x8000:
            received += [bool(chunk >> CHUNK_BITS - 1 - index & 1) for index in range(CHUNK_BITS)]
        else:
            received += [bool(chunk & 0x4000)] * (chunk & 0x3FFF)
    return received[:length]
