"""Who a phone is: one Ed25519 key and one ML-DSA key per security level, always used together.

A signature is valid only if Ed25519 **and** ML-DSA verify. Roles are kept apart by ML-DSA's context
argument (FIPS 204, section 5.2) and by a length-prefixed role in front of what Ed25519 signs: what a phone
signed as callee is worth nothing as caller.

Stronger than PROTOCOL.md first had it: a fingerprint covers the Ed25519 key and the ML-DSA keys of *all*
suites, and not the suite's own pair. With one fingerprint per suite, whoever forces another suite would
turn a pinned contact into an unknown one, and the commitment in M1, made before the suite is chosen, could
not name the caller. Under one suite a phone shows the key it signs with and the hash of the other.

    idfp = H(lp("qcall/1 id", ed25519, k(ML-DSA-87), k(ML-DSA-65)))   k(s) = H(lp("qcall/1 id key", s, key))
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .kdf import HASH_LENGTH, PREFIX, Label, digest, lp
from .secret import Secret

SEED_LENGTH = 32
"""Bytes of each private key: Ed25519 (RFC 8032) and the xi of ML-DSA (FIPS 204, section 3.6.3)."""
ED25519_PUBLIC, ED25519_SIGNATURE = 32, 64

ML_DSA_65, ML_DSA_87 = "ML-DSA-65", "ML-DSA-87"
ML_DSA_PUBLIC = {ML_DSA_65: 1952, ML_DSA_87: 2592}
ML_DSA_SIGNATURE = {ML_DSA_65: 3309, ML_DSA_87: 4627}
_OTHER = {ML_DSA_65: ML_DSA_87, ML_DSA_87: ML_DSA_65}
_PRIVATE: dict[str, Callable[[bytes], mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey]] = {
    ML_DSA_65: mldsa.MLDSA65PrivateKey.from_seed_bytes,
    ML_DSA_87: mldsa.MLDSA87PrivateKey.from_seed_bytes,
}
_PUBLIC: dict[str, Callable[[bytes], mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey]] = {
    ML_DSA_65: mldsa.MLDSA65PublicKey.from_public_bytes,
    ML_DSA_87: mldsa.MLDSA87PublicKey.from_public_bytes,
}


class Role(StrEnum):
    """In what capacity a phone signs."""

    CALLER = "caller"
    CALLEE = "callee"
    REKEY_CALLER = "rekey caller"
    REKEY_CALLEE = "rekey callee"
    RECEIPT = "receipt"
    ENROLMENT = "enrolment"

    @property
    def context(self) -> bytes:
        """ML-DSA's context, and the first field of what Ed25519 signs."""
        return (PREFIX + self.value).encode()


class Fingerprint(bytes):
    """H over all public keys of an identity, 48 bytes. ``str`` is what people compare."""

    def __new__(cls, value: bytes) -> Self:
        if len(value) != HASH_LENGTH:
            raise ValueError(f"a fingerprint has {HASH_LENGTH} bytes, not {len(value)}")
        return super().__new__(cls, value)

    def __str__(self) -> str:
        """The first 200 bits as eight groups of five base-32 characters (RFC 4648, section 6)."""
        text = base64.b32encode(self[:25]).decode().lower()
        return " ".join(text[i : i + 5] for i in range(0, len(text), 5))


@dataclass(frozen=True, slots=True)
class Signature:
    """Both signatures over one message."""

    ed25519: bytes
    mldsa: bytes


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """An identity as it is shown under one suite: the key of its ML-DSA, and the hash of the other one."""

    ed25519: bytes
    scheme: str
    mldsa: bytes
    other: bytes

    @property
    def fingerprint(self) -> Fingerprint:
        """The same under every suite."""
        hashes = {
            self.scheme: digest(Label.IDENTITY_KEY, self.scheme, self.mldsa),
            _OTHER[self.scheme]: self.other,
        }
        return Fingerprint(digest(Label.IDENTITY, self.ed25519, hashes[ML_DSA_87], hashes[ML_DSA_65]))

    def verify(self, role: Role, message: bytes, signature: Signature) -> bool:
        """Whether both signatures are this identity's, in that role, over ``message``."""
        return verify_ed25519(self.ed25519, lp(role.context, message), signature.ed25519) and verify_mldsa(
            self.scheme, self.mldsa, message, role.context, signature.mldsa
        )


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is valid (RFC 8032, section 5.1.7); false, too, for a key that is none."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_mldsa(scheme: str, public: bytes, message: bytes, context: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is valid (FIPS 204, algorithm 3); false, too, for a key that is none."""
    if (
        len(public) != ML_DSA_PUBLIC[scheme]
        or len(signature) != ML_DSA_SIGNATURE[scheme]
        or len(context) > 255
    ):
        return False
    try:
        _PUBLIC[scheme](public).verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


class Identity:
    """The private half of an identity, made from three seeds of 32 bytes."""

    def __init__(self, ed25519: Secret, mldsa87: Secret, mldsa65: Secret) -> None:
        seeds = (ed25519, mldsa87, mldsa65)
        if any(len(seed) != SEED_LENGTH for seed in seeds):
            raise ValueError(f"every seed of an identity has {SEED_LENGTH} bytes")
        self.seeds = seeds
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(ed25519.reveal())
        self._mldsa = {
            ML_DSA_87: _PRIVATE[ML_DSA_87](mldsa87.reveal()),
            ML_DSA_65: _PRIVATE[ML_DSA_65](mldsa65.reveal()),
        }
        keys = {scheme: key.public_key().public_bytes_raw() for scheme, key in self._mldsa.items()}
        self._public = {
            scheme: PublicIdentity(
                self._ed25519.public_key().public_bytes_raw(),
                scheme,
                keys[scheme],
                digest(Label.IDENTITY_KEY, _OTHER[scheme], keys[_OTHER[scheme]]),
            )
            for scheme in keys
        }
        self.fingerprint = self._public[ML_DSA_87].fingerprint

    @classmethod
    def create(cls, entropy: Callable[[int], bytes]) -> Self:
        """A new identity; ``entropy(n)`` gives n random bytes."""
        return cls(*(Secret(entropy(SEED_LENGTH)) for _ in range(3)))

    def public(self, scheme: str = ML_DSA_87) -> PublicIdentity:
        """What peers see when ``scheme`` signs."""
        return self._public[scheme]

    def sign(self, role: Role, message: bytes, scheme: str = ML_DSA_87) -> Signature:
        """Both signatures over ``message``. ML-DSA's is hedged: it differs from call to call."""
        return Signature(
            self._ed25519.sign(lp(role.context, message)), self._mldsa[scheme].sign(message, role.context)
        )
