"""The messages of qcall/1 on the wire: strict, versioned, one encoding each.

A frame is ``version (1 byte) | kind (1 byte) | msgpack map``. A receiver refuses unknown fields, fields of
another length, frames that are too long, and any encoding that is not the one this module would have
written. Transcripts hash the bytes that were seen, never a re-encoding.

`Refuse` in clear (kind 0) keeps its form in every version, so that phones of different versions can tell
each other so. Nobody vouches for it: it can end a call attempt, which whoever carries the messages can do
anyway, and nothing else. `SealedRefuse` is authenticated by the handshake keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from qcall.crypto.identity import (
    ED25519_PUBLIC,
    ED25519_SIGNATURE,
    ML_DSA_PUBLIC,
    ML_DSA_SIGNATURE,
    PublicIdentity,
    Signature,
)
from qcall.crypto.kdf import HASH_LENGTH
from qcall.errors import AgreementFailed

from .policy import QkdPolicy, QkdState
from .suites import Suite

VERSION = 1
LONGEST_FRAME = 1 << 16
"""Bytes. M2 of Q5 has about 9,000; a KEM with large keys in M1 brings it to 25,000."""
HEADER_LENGTH = 2
NONCE_LENGTH = 32
CALL_ID_LENGTH = 16

Bytes16 = Annotated[bytes, Meta(min_length=CALL_ID_LENGTH, max_length=CALL_ID_LENGTH)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hash = Annotated[bytes, Meta(min_length=HASH_LENGTH, max_length=HASH_LENGTH)]
KemBytes = Annotated[bytes, Meta(min_length=1, max_length=32_768)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
SuiteName = Annotated[str, Meta(min_length=1, max_length=16)]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Sdp = Annotated[str, Meta(min_length=1, max_length=16_384)]
Body = Annotated[bytes, Meta(max_length=LONGEST_FRAME)]


class Kind(IntEnum):
    """The second byte of a frame."""

    REFUSE = 0
    M1 = 1
    M2 = 2
    M3 = 3
    M4 = 4
    SEALED_REFUSE = 5


class RefuseCode(StrEnum):
    """Why a phone ends a call attempt, as far as the other phone may know.

    Whatever goes wrong in the cryptography is ``failed`` and nothing more.
    """

    FAILED = "failed"
    BUSY = "busy"
    DECLINED = "declined"
    OFFLINE = "offline"
    CANCELLED = "cancelled"
    NO_ANSWER = "no-answer"
    VERSION = "version"
    SUITE = "suite"
    CLOCK = "clock"
    TRY_LATER = "try-later"
    QKD_REQUIRED = "qkd-required"
    QKD_FRESH = "qkd-fresh"
    """Only sealed: the callee's key node gave no key; begin again without quantum keys."""


class Refuse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The end of an attempt."""

    code: RefuseCode


class M1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Caller: who wants to talk commits to it without saying it."""

    suites: Annotated[tuple[SuiteName, ...], Meta(min_length=1, max_length=8)]
    call_id: Bytes16
    time: Annotated[int, Meta(ge=0, lt=1 << 48)]
    policy: QkdPolicy
    share: Bytes32
    kem_keys: Annotated[dict[SuiteName, KemBytes], Meta(min_length=1, max_length=8)]
    commitment: Hash


class M2(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Callee: an encoded `M2Clear`, and a box with an encoded `Signed` around an `M2Body`."""

    clear: Body
    box: Body


class M2Clear(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    suite: SuiteName
    policy: QkdPolicy
    share: Bytes32
    ciphertexts: Annotated[tuple[KemBytes, ...], Meta(min_length=1, max_length=4)]
    nonce: Bytes32


class Boxed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """M3, M4 and a sealed refusal on the wire."""

    box: Body


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the box of M2 holds."""

    body: Body
    ed25519: Annotated[bytes, Meta(min_length=ED25519_SIGNATURE, max_length=ED25519_SIGNATURE)]
    mldsa: Annotated[bytes, Meta(max_length=max(ML_DSA_SIGNATURE.values()))]


class SignedAndMaced(Signed, frozen=True, forbid_unknown_fields=True):
    """What the box of M3 holds."""

    mac: Hash


class Maced(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the box of M4 holds."""

    body: Body
    mac: Hash


class IdentityKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A phone's identity under the suite of the call."""

    ed25519: Annotated[bytes, Meta(min_length=ED25519_PUBLIC, max_length=ED25519_PUBLIC)]
    mldsa: Annotated[bytes, Meta(max_length=max(ML_DSA_PUBLIC.values()))]
    other: Hash


class M2Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: IdentityKeys
    name: Name
    sae_id: Name | None
    kme_id: Name | None


class KeyNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One quantum key, by name, with error rate and age (s) of every hop as its key node tells them."""

    key_id: KeyId
    bits: Annotated[int, Meta(ge=256, le=256)]
    path: Annotated[tuple[Name, ...], Meta(max_length=64)]
    qber: Annotated[tuple[Annotated[float, Meta(ge=0, le=1)], ...], Meta(max_length=64)] = ()
    age: Annotated[tuple[Annotated[float, Meta(ge=0, le=1e9)], ...], Meta(max_length=64)] = ()


class QkdTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the caller states about the quantum layer; ``reason`` says why it is absent."""

    state: QkdState
    reason: Word | None
    master_sae: Name | None
    slave_sae: Name | None
    keys: Annotated[tuple[KeyNamed, ...], Meta(max_length=16)]


class M3Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: IdentityKeys
    name: Name
    sae_id: Name | None
    kme_id: Name | None
    callee: Hash
    nonce: Bytes32
    qkd: QkdTerms
    offer: Sdp


class M4Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key_ids: Annotated[tuple[KeyId, ...], Meta(max_length=16)]
    answer: Sdp


MODELS = {
    Kind.REFUSE: Refuse,
    Kind.M1: M1,
    Kind.M2: M2,
    Kind.M3: Boxed,
    Kind.M4: Boxed,
    Kind.SEALED_REFUSE: Boxed,
}

Model = TypeVar("Model", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose header is understood; ``raw`` is the whole of it."""

    version: int
    kind: int
    raw: bytes

    @property
    def header(self) -> bytes:
        """The associated data of a box in this frame."""
        return self.raw[:HEADER_LENGTH]


def header(kind: Kind) -> bytes:
    """The two bytes in front of every payload."""
    return bytes([VERSION, kind])


def frame(kind: Kind, message: msgspec.Struct) -> bytes:
    """A message as it goes on the wire."""
    return header(kind) + encode(message)


def parse(raw: bytes) -> Frame:
    """Read the header. AgreementFailed when there is none or the frame is too long."""
    if not HEADER_LENGTH < len(raw) <= LONGEST_FRAME:
        raise AgreementFailed(f"a message of {len(raw)} bytes is none of qcall", code="length")
    return Frame(raw[0], raw[1], raw)


def read(frame: Frame, model: type[Model]) -> Model:
    """The message in ``frame``. AgreementFailed unless it is a ``model``, encoded as this module does."""
    return decode(frame.raw[HEADER_LENGTH:], model)


def encode(message: msgspec.Struct) -> bytes:
    """The one encoding of a message."""
    return msgspec.msgpack.encode(message)


def encode_checked(message: msgspec.Struct) -> bytes:
    """`encode`, for what holds text of others (SDP, key IDs): refused here if the peer would refuse it."""
    data = encode(message)
    decode(data, type(message))
    return data


def decode(data: bytes, model: type[Model]) -> Model:
    """The message in ``data``. AgreementFailed unless it is a ``model``, encoded as `encode` does."""
    try:
        message = msgspec.msgpack.decode(data, type=model)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AgreementFailed(f"a {model.__name__} is malformed: {error}", code="malformed") from None
    if encode(message) != data:
        raise AgreementFailed(f"a {model.__name__} is not encoded in the one allowed way", code="malformed")
    return message


def show_identity(identity: PublicIdentity) -> IdentityKeys:
    """An identity for the wire."""
    return IdentityKeys(identity.ed25519, identity.mldsa, identity.other)


def read_identity(keys: IdentityKeys, suite: Suite) -> PublicIdentity:
    """An identity from the wire, under ``suite``."""
    if len(keys.mldsa) != ML_DSA_PUBLIC[suite.scheme]:
        raise AgreementFailed(f"the identity's {suite.scheme} key has the wrong length", code="malformed")
    return PublicIdentity(keys.ed25519, suite.scheme, keys.mldsa, keys.other)


def read_signature(signed: Signed) -> Signature:
    """Both signatures from the wire."""
    return Signature(signed.ed25519, signed.mldsa)
