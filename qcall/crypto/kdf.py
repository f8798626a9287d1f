"""Key derivation of qcall/1, and the one table of every label it uses.

H is SHA-384 and HKDF is HKDF-SHA-384 (RFC 5869) throughout. Nothing else in the program may derive, hash
or authenticate with a string of its own: a label that is not in `Label` does not exist, so that no two
uses can collide.

``lp`` makes every input injective: each field is preceded by its length, so no two lists of fields give
the same bytes. `exp` puts the label, the context and the output length into HKDF's ``info``.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from .secret import Secret

PREFIX = "qcall/1 "
HASH_LENGTH = 48
"""Bytes of H and of every value in the key chain."""


class Label(enum.StrEnum):
    """Every label of the protocol. Direction ``i`` is caller to callee, ``r`` callee to caller."""

    # H(lp("qcall/1 " + label, …))
    IDENTITY = "id"
    IDENTITY_KEY = "id key"
    COMMITMENT = "commit"
    TRANSCRIPT_CLEAR_2 = "tc2"
    TRANSCRIPT_2 = "th2"
    TRANSCRIPT_3 = "th3"
    TRANSCRIPT_4 = "th4"
    WORDS_TRANSCRIPT = "sas transcript"
    TRANSCRIPT_REKEY = "th rekey"
    RECEIPT = "receipt"

    # HKDF-Expand
    NEXT = "next"
    HANDSHAKE_I = "hs i"
    HANDSHAKE_R = "hs r"
    WORDS = "sas"
    MAC_I = "mac i"
    MAC_R = "mac r"
    CONFIRM_I = "kc i"
    CONFIRM_R = "kc r"
    SRTP_I = "srtp i"
    SRTP_R = "srtp r"
    CONTROL_I = "ctl i"
    CONTROL_R = "ctl r"
    REKEY = "rekey"
    REKEY_MAC_I = "rekey mac i"
    REKEY_MAC_R = "rekey mac r"

    # The type of an input to HKDF-Extract, its first field
    X25519 = "x25519"
    KEM = "mlkem"
    SECOND_KEM = "second kem"
    QKD = "qkd"
    DTLS = "dtls"


_length = struct.Struct(">I").pack


def lp(*fields: bytes | str) -> bytes:
    """Each field as its length in 4 bytes, big-endian, and its bytes; text as UTF-8."""
    parts = []
    for each in fields:
        field = each.encode() if isinstance(each, str) else each
        parts.append(_length(len(field)))
        parts.append(field)
    return b"".join(parts)


_LABELS = {label: lp(PREFIX + label) for label in Label}
"""The first field of every hash and expansion, made once."""


def digest(label: Label, *fields: bytes | str) -> bytes:
    """H(lp("qcall/1 " + label, fields…)), 48 bytes."""
    return hashlib.sha384(_LABELS[label] + lp(*fields)).digest()


def suite_salt(suite: str) -> bytes:
    """H("qcall/1 " + suite): where the chain of a suite begins, 48 bytes."""
    return hashlib.sha384((PREFIX + suite).encode()).digest()


def extract(salt: bytes, ikm: bytes) -> Secret:
    """HKDF-Extract (RFC 5869, section 2.2): a 48-byte pseudorandom key."""
    return Secret(HKDF.extract(hashes.SHA384(), salt or None, ikm))


def expand(key: Secret, info: bytes, length: int) -> Secret:
    """HKDF-Expand (RFC 5869, section 2.3): ``length`` bytes, at most 12,240. Raises ValueError beyond."""
    return Secret(HKDFExpand(hashes.SHA384(), length, info).derive(key.reveal()))


def exp(key: Secret, label: Label, context: bytes, length: int) -> Secret:
    """HKDF-Expand(key, lp("qcall/1 " + label, context, u16 length), length)."""
    return expand(key, _LABELS[label] + lp(context, length.to_bytes(2)), length)


def mac(key: Secret, *fields: bytes) -> bytes:
    """HMAC-SHA-384 (RFC 2104) over ``lp(fields…)``, 48 bytes. The key is from `exp`, for this use only."""
    return hmac.digest(key.reveal(), lp(*fields), "sha384")


def mac_matches(key: Secret, claimed: bytes, *fields: bytes) -> bool:
    """Whether ``claimed`` is `mac` of the fields, compared in constant time."""
    return hmac.compare_digest(mac(key, *fields), claimed)
