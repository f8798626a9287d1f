"""Invite codes: 160 bits in Crockford's base 32, typed by people as eight groups of four.

    70 bits   secret, known to the relay as a hash only, good once
    80 bits   fingerprint of the relay's certificate authority, so that a phone can tell at first contact,
              before it has any trust, that it talks to the relay that invited it
    10 bits   checksum, so that a slip of the finger is not a refusal

80 bits and not fewer: whoever wants to stand in between may search for a CA key of the same fingerprint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET_BITS, FINGERPRINT_BITS, CHECKSUM_BITS = 70, 80, 10
SECRET_LENGTH = 9
"""Random bytes that `Invite.create` wants; the last two bits are not used."""
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUPS, GROUP = 8, 4
# Crockford: what people read into the letters that the alphabet leaves out.
_READ_AS = str.maketrans("OIL", "011", "- ")


class BadInvite(ValueError):
    """Not an invite code, or mistyped."""


@dataclass(frozen=True, slots=True)
class Invite:
    """What a code says."""

    secret: int = field(repr=False)
    fingerprint: int

    @classmethod
    def create(cls, entropy: bytes, spki_hash: bytes) -> Invite:
        """From `SECRET_LENGTH` random bytes and the SHA-256 of the CA's SubjectPublicKeyInfo."""
        if len(entropy) != SECRET_LENGTH:
            raise ValueError(f"an invite takes {SECRET_LENGTH} random bytes, not {len(entropy)}")
        return cls(int.from_bytes(entropy) >> (8 * SECRET_LENGTH - SECRET_BITS), _short(spki_hash))

    @classmethod
    def parse(cls, code: str) -> Invite:
        """Read what a person typed, in any case, with or without dashes; raises `BadInvite`."""
        text = code.upper().translate(_READ_AS)
        if len(text) != GROUPS * GROUP or not set(text) <= set(ALPHABET):
            raise BadInvite(f"an invite has {GROUPS} groups of {GROUP} letters and digits")
        value = 0
        for symbol in text:
            value = value << 5 | ALPHABET.index(symbol)
        body, checksum = value >> CHECKSUM_BITS, value & (1 << CHECKSUM_BITS) - 1
        if _checksum(body) != checksum:
            raise BadInvite("the invite is mistyped")
        return cls(body >> FINGERPRINT_BITS, body & (1 << FINGERPRINT_BITS) - 1)

    def __str__(self) -> str:
        """The code as it is given to people."""
        body = self.secret << FINGERPRINT_BITS | self.fingerprint
        value = body << CHECKSUM_BITS | _checksum(body)
        symbols = [ALPHABET[value >> 5 * i & 31] for i in reversed(range(GROUPS * GROUP))]
        return "-".join("".join(symbols[i : i + GROUP]) for i in range(0, len(symbols), GROUP))

    def names(self, spki_hash: bytes) -> bool:
        """Whether the CA whose SubjectPublicKeyInfo has this SHA-256 is the one that invited."""
        return _short(spki_hash) == self.fingerprint

    def digest(self, name: str) -> bytes:
        """What the relay keeps of an invite for ``name``."""
        return hashlib.sha256(b"qcall/1 invite\0" + self.secret.to_bytes(9) + name.encode()).digest()


def spki_hash(certificate_pem: bytes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7); raises `ValueError`."""
    key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _short(spki_hash: bytes) -> int:
    return int.from_bytes(spki_hash[: FINGERPRINT_BITS // 8])


def _checksum(body: int) -> int:
    digest = hashlib.sha256(b"qcall/1 invite checksum\0" + body.to_bytes(19)).digest()
    return int.from_bytes(digest[:2]) >> 16 - CHECKSUM_BITS
