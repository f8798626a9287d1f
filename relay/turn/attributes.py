"""STUN and TURN attributes: their numbers, and how the value of each is written (RFC 8489 §14, RFC 8656 §18).

``LIFETIME(600)`` is a value ready to be sent; ``message.get(LIFETIME)`` reads one back. An address is
``(text, port)`` with the text in canonical form, so that equal addresses are equal keys.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from relay.errors import PeerFault

Address: TypeAlias = tuple[str, int]
T = TypeVar("T")

MAGIC_COOKIE: Final = 0x2112A442


class Malformed(PeerFault):
    """Bytes from the network that are no well-formed STUN message, attribute or ChannelData."""

    code = "malformed"


class Family(IntEnum):
    """Address family numbers of RFC 8489 §14.1."""

    IPV4 = 1
    IPV6 = 2


class PasswordAlgorithm(IntEnum):
    """RFC 8489 §18.5; both take no parameters."""

    MD5 = 1
    SHA256 = 2


class Error(NamedTuple):
    """The value of ERROR-CODE (RFC 8489 §14.8)."""

    code: int
    reason: str = ""


class AddressError(NamedTuple):
    """The value of ADDRESS-ERROR-CODE (RFC 8656 §18.11)."""

    family: int
    code: int


@lru_cache(2048)
def packed(host: str) -> bytes:
    """The 4 or 16 bytes of a textual IP address."""
    return ipaddress.ip_address(host).packed


@lru_cache(2048)
def text(raw: bytes) -> str:
    """The canonical text of 4 or 16 address bytes."""
    return str(ipaddress.ip_address(raw))


def family_of(host: str) -> Family:
    """The family of a textual IP address."""
    return Family.IPV6 if ":" in host else Family.IPV4


def _xor(data: bytes, transaction_id: bytes) -> bytes:
    """Port and address, hidden from meddling NATs or shown again (RFC 8489 §14.2)."""
    size = len(data)
    pad = struct.pack("!HI", MAGIC_COOKIE >> 16, MAGIC_COOKIE) + transaction_id
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad[:size], "big")).to_bytes(size, "big")


def _encode_address(value: Address, _: bytes) -> bytes:
    return struct.pack("!BBH", 0, family_of(value[0]), value[1]) + packed(value[0])


def _decode_address(raw: bytes, _: bytes) -> Address:
    if (len(raw), raw[1:2]) not in ((8, b"\1"), (20, b"\2")):
        raise Malformed("an address attribute has the wrong length for its family")
    return text(raw[4:]), int.from_bytes(raw[2:4], "big")


def _encode_xor_address(value: Address, transaction_id: bytes) -> bytes:
    plain = _encode_address(value, transaction_id)
    return plain[:2] + _xor(plain[2:], transaction_id)


def _decode_xor_address(raw: bytes, transaction_id: bytes) -> Address:
    return _decode_address(raw[:2] + _xor(raw[2:20], transaction_id) + raw[20:], transaction_id)


def _encode_bytes(value: bytes, _: bytes) -> bytes:
    return value


def _decode_bytes(raw: bytes, _: bytes) -> bytes:
    return raw


def _encode_text(value: str, _: bytes) -> bytes:
    return value.encode()


def _decode_text(raw: bytes, _: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed("a text attribute is not UTF-8") from None


def _encode_flag(value: bool, _: bytes) -> bytes:
    assert value, "an absent flag is an absent attribute"
    return b""


def _decode_flag(raw: bytes, _: bytes) -> bool:
    if raw:
        raise Malformed("a flag attribute carries a value")
    return True


def _encode_error(value: Error, _: bytes) -> bytes:
    return struct.pack("!HBB", 0, value.code // 100, value.code % 100) + value.reason.encode()


def _decode_error(raw: bytes, transaction_id: bytes) -> Error:
    if len(raw) < 4 or not 3 <= raw[2] & 7 <= 6 or raw[3] > 99:
        raise Malformed("ERROR-CODE is out of range")
    return Error((raw[2] & 7) * 100 + raw[3], _decode_text(raw[4:], transaction_id))


def _encode_address_error(value: AddressError, _: bytes) -> bytes:
    return struct.pack("!BxBB", value.family, value.code // 100, value.code % 100)


def _decode_address_error(raw: bytes, _: bytes) -> AddressError:
    if len(raw) < 4:
        raise Malformed("ADDRESS-ERROR-CODE is too short")
    return AddressError(raw[0], (raw[2] & 7) * 100 + raw[3])


def _encode_types(value: tuple[int, ...], _: bytes) -> bytes:
    return struct.pack(f"!{len(value)}H", *value)


def _decode_types(raw: bytes, _: bytes) -> tuple[int, ...]:
    if len(raw) % 2:
        raise Malformed("UNKNOWN-ATTRIBUTES has an odd length")
    return struct.unpack(f"!{len(raw) // 2}H", raw)


def _encode_algorithms(value: tuple[int, ...], _: bytes) -> bytes:
    return b"".join(struct.pack("!HH", algorithm, 0) for algorithm in value)


def _decode_algorithms(raw: bytes, _: bytes) -> tuple[int, ...]:
    """Algorithm numbers; one with parameters is kept as 0, which matches nothing that is offered here."""
    found: list[int] = []
    while raw:
        if len(raw) < 4:
            raise Malformed("a password algorithm is cut short")
        number, size = struct.unpack_from("!HH", raw)
        end = 4 + size + -size % 4
        if len(raw) < end:
            raise Malformed("a password algorithm is cut short")
        found.append(0 if size else number)
        raw = raw[end:]
    return tuple(found)


def _fixed(layout: str, meaning: str) -> tuple[Callable[[int, bytes], bytes], Callable[[bytes, bytes], int]]:
    """Encoder and decoder of one unsigned number in a value of fixed size."""
    number = struct.Struct(layout)

    def encode(value: int, _: bytes) -> bytes:
        return number.pack(value)

    def decode(raw: bytes, _: bytes) -> int:
        if len(raw) != number.size:
            raise Malformed(f"{meaning} has {len(raw)} bytes instead of {number.size}")
        return int(number.unpack(raw)[0])

    return encode, decode


class Value(NamedTuple):
    """An attribute with a value, ready to be encoded into a message."""

    type: int
    encode: Callable[[bytes], bytes]


class Attribute(Generic[T]):
    """One attribute type. ``known`` numbers below 0x8000 are those that this server comprehends."""

    def __init__(
        self,
        type: int,
        encode: Callable[[T, bytes], bytes],
        decode: Callable[[bytes, bytes], T],
    ) -> None:
        self.type = type
        self.encode = encode
        self.decode = decode

    def __call__(self, value: T) -> Value:
        return Value(self.type, lambda transaction_id: self.encode(value, transaction_id))


MAPPED_ADDRESS: Final = Attribute(0x0001, _encode_address, _decode_address)
USERNAME: Final = Attribute(0x0006, _encode_text, _decode_text)
MESSAGE_INTEGRITY: Final = Attribute(0x0008, _encode_bytes, _decode_bytes)
ERROR_CODE: Final = Attribute(0x0009, _encode_error, _decode_error)
UNKNOWN_ATTRIBUTES: Final = Attribute(0x000A, _encode_types, _decode_types)
CHANNEL_NUMBER: Final = Attribute(0x000C, *_fixed("!Hxx", "CHANNEL-NUMBER"))
LIFETIME: Final = Attribute(0x000D, *_fixed("!I", "LIFETIME"))
XOR_PEER_ADDRESS: Final = Attribute(0x0012, _encode_xor_address, _decode_xor_address)
DATA: Final = Attribute(0x0013, _encode_bytes, _decode_bytes)
REALM: Final = Attribute(0x0014, _encode_text, _decode_text)
NONCE: Final = Attribute(0x0015, _encode_bytes, _decode_bytes)
XOR_RELAYED_ADDRESS: Final = Attribute(0x0016, _encode_xor_address, _decode_xor_address)
REQUESTED_ADDRESS_FAMILY: Final = Attribute(0x0017, *_fixed("!Bxxx", "REQUESTED-ADDRESS-FAMILY"))
EVEN_PORT: Final = Attribute(0x0018, *_fixed("!B", "EVEN-PORT"))
REQUESTED_TRANSPORT: Final = Attribute(0x0019, *_fixed("!Bxxx", "REQUESTED-TRANSPORT"))
DONT_FRAGMENT: Final = Attribute(0x001A, _encode_flag, _decode_flag)
MESSAGE_INTEGRITY_SHA256: Final = Attribute(0x001C, _encode_bytes, _decode_bytes)
PASSWORD_ALGORITHM: Final = Attribute(0x001D, _encode_algorithms, _decode_algorithms)
XOR_MAPPED_ADDRESS: Final = Attribute(0x0020, _encode_xor_address, _decode_xor_address)
RESERVATION_TOKEN: Final = Attribute(0x0022, _encode_bytes, _decode_bytes)
ADDITIONAL_ADDRESS_FAMILY: Final = Attribute(0x8000, *_fixed("!Bxxx", "ADDITIONAL-ADDRESS-FAMILY"))
ADDRESS_ERROR_CODE: Final = Attribute(0x8001, _encode_address_error, _decode_address_error)
PASSWORD_ALGORITHMS: Final = Attribute(0x8002, _encode_algorithms, _decode_algorithms)
SOFTWARE: Final = Attribute(0x8022, _encode_text, _decode_text)
ALTERNATE_SERVER: Final = Attribute(0x8023, _encode_address, _decode_address)
COTURN_ADDITIONAL_ADDRESS_FAMILY: Final = Attribute(0x8032, *_fixed("!Bxxx", "ADDITIONAL-ADDRESS-FAMILY"))
"""The number of ADDITIONAL-ADDRESS-FAMILY in coturn 4, which is older than RFC 8656."""
FINGERPRINT: Final = Attribute(0x8028, *_fixed("!I", "FINGERPRINT"))

RESERVE_NEXT_PORT: Final = 0x80
"""The R bit of EVEN-PORT (RFC 8656 §18.8)."""

COMPREHENDED: Final = frozenset(
    attribute.type
    for attribute in (
        USERNAME, MESSAGE_INTEGRITY, CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA, REALM, NONCE,
        REQUESTED_ADDRESS_FAMILY, EVEN_PORT, REQUESTED_TRANSPORT, DONT_FRAGMENT, MESSAGE_INTEGRITY_SHA256,
        PASSWORD_ALGORITHM, RESERVATION_TOKEN,
    )
)  # fmt: skip
"""Comprehension-required attributes that requests may carry; any other below 0x8000 is answered with 420."""
