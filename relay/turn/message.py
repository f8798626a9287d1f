"""STUN messages and TURN ChannelData on the wire (RFC 8489 §5-6, RFC 8656 §12.4).

Parsing raises :class:`Malformed` and nothing else. What stands behind MESSAGE-INTEGRITY is not
authenticated, so it is dropped while parsing, except MESSAGE-INTEGRITY-SHA256 and FINGERPRINT
(RFC 8489 §14.5, §14.6).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

from .attributes import (
    COMPREHENDED,
    FINGERPRINT,
    MAGIC_COOKIE,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    Attribute,
    Malformed,
    Value,
)

T = TypeVar("T")

HEADER_SIZE: Final = 20
CHANNEL_HEADER_SIZE: Final = 4
CHANNEL_MIN: Final = 0x4000
CHANNEL_MAX: Final = 0x7FFF
"""RFC 8656 §12 ends at 0x4FFF, but clients of RFC 5766 §11 (coturn's too) draw from all of its range."""
FINGERPRINT_XOR: Final = 0x5354554E

_HEADER: Final = struct.Struct("!HHI12s")
_PAIR: Final = struct.Struct("!HH")


class Method(IntEnum):
    """RFC 8489 §18.2 and RFC 8656 §17."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class MessageClass(IntEnum):
    """The two class bits, where they stand in the message type (RFC 8489 §5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


@dataclass(frozen=True, slots=True)
class Integrity:
    """The key of a message, and by which hash it is protected.

    Requests under the MD5 password algorithm carry MESSAGE-INTEGRITY, those that chose an algorithm carry
    MESSAGE-INTEGRITY-SHA256 (RFC 8489 §9.2.4), and answers follow their request.
    """

    key: bytes
    sha256: bool = False

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True, slots=True)
class Message:
    """A parsed message. ``attributes`` are (type, value) in the order of the wire, without padding."""

    method: int
    message_class: MessageClass
    transaction_id: bytes
    attributes: tuple[tuple[int, bytes], ...]
    raw: bytes
    integrity_at: int | None
    """Where MESSAGE-INTEGRITY begins in ``raw``."""
    integrity_sha256_at: int | None

    def get(self, attribute: Attribute[T]) -> T | None:
        """The first value of that type (RFC 8489 §14), or None; raises ``Malformed``."""
        for number, value in self.attributes:
            if number == attribute.type:
                return attribute.decode(value, self.transaction_id)
        return None

    def all(self, attribute: Attribute[T]) -> list[T]:
        """Every value of that type, in order; raises ``Malformed``."""
        return [
            attribute.decode(value, self.transaction_id)
            for number, value in self.attributes
            if number == attribute.type
        ]

    @property
    def uncomprehended(self) -> tuple[int, ...]:
        """Comprehension-required types that this server does not know, each once."""
        unknown = (number for number, _ in self.attributes if number < 0x8000)
        return tuple(dict.fromkeys(number for number in unknown if number not in COMPREHENDED))

    def is_authentic(self, integrity: Integrity) -> bool:
        """Whether the message was written under that key and protected by that hash. Constant time."""
        at = self.integrity_sha256_at if integrity.sha256 else self.integrity_at
        if at is None:
            return False
        (size,) = struct.unpack_from("!H", self.raw, at + 2)
        claimed = self.raw[at + 4 : at + 4 + size]
        return hmac.compare_digest(claimed, _integrity(self.raw[:at], integrity, size))


def _with_length(head: bytes, size: int) -> bytes:
    """``head`` with the header's length field as if ``size`` bytes of message body were there."""
    return head[:2] + size.to_bytes(2, "big") + head[4:]


def _integrity(head: bytes, integrity: Integrity, size: int) -> bytes:
    """HMAC over everything before the attribute, with the length as if the attribute were the last."""
    covered = _with_length(head, len(head) - HEADER_SIZE + 4 + size)
    digest = hmac.digest(integrity.key, covered, hashlib.sha256 if integrity.sha256 else hashlib.sha1)
    return digest[:size]


def _fingerprint(head: bytes) -> int:
    covered = _with_length(head, len(head) - HEADER_SIZE + 8)
    return zlib.crc32(covered) ^ FINGERPRINT_XOR


def is_channel_data(data: bytes | bytearray) -> bool:
    """Whether the first byte belongs to ChannelData rather than to STUN (RFC 8656 §12)."""
    return bool(data) and 0x40 <= data[0] <= 0x7F


def is_request(data: bytes | bytearray) -> bool:
    """Whether the first two bytes are those of a STUN request: both class bits are 0 (RFC 8489 §5)."""
    return len(data) > 1 and not data[0] & 0xC1 and not data[1] & 0x10


def parse(data: bytes) -> Message:
    """Read one whole STUN message; checks FINGERPRINT where there is one, never the integrity."""
    if len(data) < HEADER_SIZE:
        raise Malformed("shorter than a STUN header")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != MAGIC_COOKIE or length % 4 or length != len(data) - HEADER_SIZE:
        raise Malformed("not a STUN header")
    attributes: list[tuple[int, bytes]] = []
    integrity_at: int | None = None
    integrity_sha256_at: int | None = None
    at = HEADER_SIZE
    while at < len(data):
        number, size = _PAIR.unpack_from(data, at)
        end = at + 4 + size
        if end > len(data):
            raise Malformed("an attribute is longer than its message")
        if number == FINGERPRINT.type:
            if size != 4 or int.from_bytes(data[at + 4 : end], "big") != _fingerprint(data[:at]):
                raise Malformed("FINGERPRINT does not match")
            attributes.append((number, data[at + 4 : end]))
            break
        if number == MESSAGE_INTEGRITY_SHA256.type:
            if not 16 <= size <= 32 or size % 4:
                raise Malformed("MESSAGE-INTEGRITY-SHA256 has an impossible length")
            if integrity_sha256_at is None:
                integrity_sha256_at = at
        elif integrity_at is None and integrity_sha256_at is None:
            if number == MESSAGE_INTEGRITY.type:
                if size != 20:
                    raise Malformed("MESSAGE-INTEGRITY has an impossible length")
                integrity_at = at
            attributes.append((number, data[at + 4 : end]))
        at = end + -size % 4
    return Message(
        method=(kind & 0x000F) | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2,
        message_class=MessageClass(kind & 0x0110),
        transaction_id=transaction_id,
        attributes=tuple(attributes),
        raw=data,
        integrity_at=integrity_at,
        integrity_sha256_at=integrity_sha256_at,
    )


def encode(
    method: int,
    message_class: MessageClass,
    transaction_id: bytes,
    values: Iterable[Value] = (),
    *,
    integrity: Integrity | None = None,
    fingerprint: bool = False,
) -> bytes:
    """Write one STUN message, protected by ``integrity`` where it is given."""
    parts = [b""]
    for number, write in values:
        value = write(transaction_id)
        parts.append(_PAIR.pack(number, len(value)) + value + bytes(-len(value) % 4))
    body = b"".join(parts)
    kind = message_class | (method & 0x000F) | (method & 0x0070) << 1 | (method & 0x0F80) << 2
    data = _HEADER.pack(kind, len(body), MAGIC_COOKIE, transaction_id) + body
    if integrity is not None:
        number = (MESSAGE_INTEGRITY_SHA256 if integrity.sha256 else MESSAGE_INTEGRITY).type
        size = 32 if integrity.sha256 else 20
        data += _PAIR.pack(number, size) + _integrity(data, integrity, size)
    if fingerprint:
        data += _PAIR.pack(FINGERPRINT.type, 4) + _fingerprint(data).to_bytes(4, "big")
    return _with_length(data, len(data) - HEADER_SIZE)


def parse_channel_data(data: bytes) -> tuple[int, bytes]:
    """Channel number and application data; over UDP bytes behind the data are padding (RFC 8656 §12.5)."""
    if len(data) < CHANNEL_HEADER_SIZE:
        raise Malformed("shorter than a ChannelData header")
    number, size = _PAIR.unpack_from(data)
    if not CHANNEL_MIN <= number <= CHANNEL_MAX or CHANNEL_HEADER_SIZE + size > len(data):
        raise Malformed("ChannelData is cut short")
    return number, data[CHANNEL_HEADER_SIZE : CHANNEL_HEADER_SIZE + size]


def encode_channel_data(number: int, data: bytes, *, padded: bool = False) -> bytes:
    """ChannelData; ``padded`` to four bytes for a stream (RFC 8656 §12.5)."""
    return _PAIR.pack(number, len(data)) + data + (bytes(-len(data) % 4) if padded else b"")


def frame_size(head: bytes | bytearray) -> int | None:
    """Bytes that the first message in a stream takes, padding included; None: more bytes are needed.

    Raises ``Malformed`` where no message can begin, after which a stream cannot be read any further.
    """
    if len(head) < CHANNEL_HEADER_SIZE:
        return None
    number, size = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")
    if is_channel_data(head):
        return CHANNEL_HEADER_SIZE + size + -size % 4
    if number & 0xC000 or size % 4:
        raise Malformed("neither STUN nor ChannelData in the stream")
    return HEADER_SIZE + size
