"""Sealed delivery: the last hop, from key node to phone, protected by a post-quantum KEM.

HPKE in base mode (RFC 9180) with the hybrid KEM MLKEM1024-P384, HKDF-SHA384 and AES-256-GCM, to a public key
that the phone makes for one request. The TLS below it is classical, and recorded it would open to a later
quantum computer; the seal would not. The library draws HPKE's randomness itself.
"""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PublicKey, Suite

from qcall.wire import etsi014

MLKEM_PUBLIC_BYTES = 1568
"""FIPS 203 table 3, ML-KEM-1024."""

_SUITE = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)


def recipient(value: object) -> MLKEM1024P384PublicKey:
    """The public key in a request's ``qcall_seal``; raises ValueError saying what is wrong with it."""
    try:
        seal = msgspec.convert(value, etsi014.Seal)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    lattice, point = seal.public_key[:MLKEM_PUBLIC_BYTES], seal.public_key[MLKEM_PUBLIC_BYTES:]
    try:
        return MLKEM1024P384PublicKey(
            mlkem.MLKEM1024PublicKey.from_public_bytes(lattice),
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point),
        )
    except ValueError:
        raise ValueError("public_key is not an MLKEM1024-P384 public key") from None


def seal(key: bytes, to: MLKEM1024P384PublicKey, info: bytes) -> bytes:
    """``enc ‖ ciphertext`` of RFC 9180; opens only with the private key and the same ``info``."""
    return _SUITE.encrypt(key, to, info)
