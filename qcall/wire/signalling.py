"""Signalling between a phone and the relay: msgpack messages in binary WebSocket frames.

    phone                                      relay
    Hello ───────────────────────────────────▶
          ◀─────────────────────────────────── Challenge
    Login (or Enrol) ────────────────────────▶
          ◀─────────────────────────────────── Welcome (or Enrolled, and the end)
    Heartbeat, Envelope, Watch ──────────────▶
          ◀─────────────────────────────────── HeartbeatAck, Accepted, Delivery, Failed, Presence
          ◀─────────────────────────────────── Rejected, at any time, and the end

Every message is a map with its type in ``type``; an unknown type, field or value is refused. ``Hello``
carries the version of all the others. What an `Envelope` carries is between the two phones: the relay sees
bytes.

A phone proves who it is by signing a transcript with both keys of its identity. `SIGNING_CONTEXT` is ML-DSA's
context (FIPS 204, section 5.2) and leads what Ed25519 signs, so that no signature made for the relay means
anything in a call. The transcript names the relay, so that one relay cannot log in at another as the phone.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

VERSION = 2
"""2: `Welcome` and `HeartbeatAck` name the revocation list, which a phone of 1 does not know."""
PATH = "/signal"
CA_PATH = "/ca.pem"
CRL_PATH = "/crl.pem"

HEARTBEAT_INTERVAL = 5.0
"""Seconds between a phone's heartbeats."""
LEASE_TTL = 15.0
"""Seconds that a registration lives without one."""

WATCH_LIMIT = 500
"""Names that one phone may watch."""
NONCE_LENGTH = 32
CALL_ID_LENGTH = 16
MAX_PAYLOAD = 65_536
MAX_FRAME = MAX_PAYLOAD + 2048
"""Bytes of the longest message: an envelope with its names and framing."""

SIGNING_CONTEXT = b"qcall/1 enrolment"

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
"""What a user may be called: it becomes part of an SAE ID, of a certificate and of a TURN user name."""

Nonce = Annotated[bytes, Meta(min_length=NONCE_LENGTH, max_length=NONCE_LENGTH)]
CallId = Annotated[bytes, Meta(min_length=CALL_ID_LENGTH, max_length=CALL_ID_LENGTH)]
CrlNumber = Annotated[int, Meta(ge=0)]
"""Of the authority's latest revocation list (RFC 5280, section 5.2.3), which `CRL_PATH` gives."""
SpkiHash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Sequence = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
Availability = Literal["online", "busy", "offline"]
Text = Annotated[str, Meta(max_length=256)]
Printable = Annotated[str, Meta(max_length=256, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
"""What is shown to users: it must not reach into their terminals."""
Pem = Annotated[bytes, Meta(max_length=16_384)]
Ed25519Public = Annotated[bytes, Meta(min_length=32, max_length=32)]
Ed25519Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
MlDsaPublic = Annotated[bytes, Meta(min_length=2592, max_length=2592)]
"""ML-DSA-87 (FIPS 204, table 2)."""
MlDsaSignature = Annotated[bytes, Meta(min_length=4627, max_length=4627)]


class BadMessage(ValueError):
    """Not a message of this version; the text says where."""


class Reason(StrEnum):
    """Why an envelope did not get there."""

    UNKNOWN_CONTACT = "unknown-contact"
    OFFLINE = "offline"
    RATE_LIMITED = "rate-limited"
    NO_PATH = "no-path"
    BUSY_RELAY = "busy-relay"
    """The relay takes no more calls: it is full, or it is about to stop."""
    RELAY_LOST = "relay-lost"
    """Never sent by a relay: the phone's own verdict when the relay did not accept an envelope in time."""


class Code(StrEnum):
    """Why the relay ends a connection."""

    VERSION = "version"
    BAD_MESSAGE = "bad-message"
    BAD_NAME = "bad-name"
    BAD_SIGNATURE = "bad-signature"
    NOT_ENROLLED = "not-enrolled"
    INVITE = "invite"
    NAME_TAKEN = "name-taken"
    BAD_REQUEST = "bad-request"
    NO_SITE = "no-site"
    SUPERSEDED = "superseded"
    TIMEOUT = "timeout"
    BUSY = "busy"
    FAULT = "relay-fault"


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A message; its type on the wire is the name of its class in lower case."""


class TurnCredentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where media is relayed, and the time-limited name and password for it."""

    host: Text
    port: Annotated[int, Meta(ge=1, le=65_535)]
    username: Text
    password: Text
    expires: float
    """Unix seconds."""
    workers: tuple[Annotated[int, Meta(ge=1, le=65_535)], ...] = ()
    """Ports of the relay's media workers, where it has several; they take the place of ``port``."""

    def port_of(self, call_id: bytes) -> int:
        """The port that both phones of a call use: only within one worker is a call relayed in process."""
        return self.workers[share(call_id, len(self.workers))] if self.workers else self.port

    def __repr__(self) -> str:
        return f"<TURN credentials for {self.host}:{self.port}>"


def share(call_id: bytes, count: int) -> int:
    """Which of ``count`` media workers, from 0, a call belongs to: the same for all who know the call."""
    return int.from_bytes(call_id[:8], "big") % count


class Hello(_Message, frozen=True):
    """Phone: who wants to log in or to enrol."""

    version: int
    name: Text


class Challenge(_Message, frozen=True):
    """Relay: sign this. ``relay`` is the SHA-256 of the SubjectPublicKeyInfo of the relay's CA."""

    nonce: Nonce
    relay: SpkiHash


class Login(_Message, frozen=True):
    """Phone: both signatures over `login_transcript`."""

    ed25519_signature: Ed25519Signature
    mldsa_signature: MlDsaSignature


class Welcome(_Message, frozen=True):
    """Relay: the phone is registered."""

    lease_ttl: Annotated[float, Meta(gt=0)]
    """Seconds that the registration lives without a heartbeat."""
    epoch: int
    """Rises with every login: an older connection of the same name is cut off."""
    site: Text
    sae_id: Text
    kme_id: Text
    kme_url: Text
    turn: TurnCredentials
    crl: CrlNumber


class Enrol(_Message, frozen=True):
    """Phone: take me in. Both signatures are over `enrol_transcript`, which binds all the rest."""

    invite: Text
    ed25519_public: Ed25519Public
    mldsa_public: MlDsaPublic
    csr_pem: Pem
    """PKCS #10 (RFC 2986) for the SAE certificate; its key is not one of the identity's."""
    ed25519_signature: Ed25519Signature
    mldsa_signature: MlDsaSignature

    def __repr__(self) -> str:
        return "<Enrol>"


class Enrolled(_Message, frozen=True):
    """Relay: the name is yours."""

    site: Text
    sae_id: Text
    kme_id: Text
    certificate_pem: Pem
    ca_pem: Pem


class Heartbeat(_Message, frozen=True):
    """Phone: keep my registration."""


class HeartbeatAck(_Message, frozen=True):
    """Relay: kept. ``turn`` is there when the earlier credentials soon expire, ``crl`` when it is new."""

    turn: TurnCredentials | None = None
    crl: CrlNumber | None = None


class Envelope(_Message, frozen=True):
    """Phone: carry ``payload`` to another phone. The same (call_id, seq) again is carried once."""

    to: Text
    call_id: CallId
    seq: Sequence
    payload: Annotated[bytes, Meta(max_length=MAX_PAYLOAD)]


class Watch(_Message, frozen=True):
    """Phone: whom I want to know of and who may know of me, if they name me too; nobody: presence is off.

    It takes the place of the one before. ``busy``: I am in a call.
    """

    names: Annotated[tuple[Text, ...], Meta(max_length=WATCH_LIMIT)]
    busy: bool = False


class Accepted(_Message, frozen=True):
    """Relay: I have that envelope; do not send it again."""

    call_id: CallId
    seq: Sequence


class Delivery(_Message, frozen=True):
    """Relay: an envelope for you. ``sender`` and ``site`` are the relay's word, nothing more."""

    sender: Printable
    site: Printable
    call_id: CallId
    seq: Sequence
    payload: Annotated[bytes, Meta(max_length=MAX_PAYLOAD)]


class Failed(_Message, frozen=True):
    """Relay: that envelope did not get there."""

    call_id: CallId
    seq: Sequence
    reason: Reason


class Presence(_Message, frozen=True):
    """Relay: how those are whom you named; who does not name you is offline to you."""

    people: dict[Text, Availability]


class Rejected(_Message, frozen=True):
    """Relay: no, and the end. ``text`` says what to do."""

    code: Code
    text: Text


FromPhone = Hello | Login | Enrol | Heartbeat | Envelope | Watch
FromRelay = Challenge | Welcome | Enrolled | HeartbeatAck | Accepted | Delivery | Failed | Presence | Rejected

_encoder = msgspec.msgpack.Encoder()
_from_phone: msgspec.msgpack.Decoder[FromPhone] = msgspec.msgpack.Decoder(FromPhone)
_from_relay: msgspec.msgpack.Decoder[FromRelay] = msgspec.msgpack.Decoder(FromRelay)


class _AnyHello(msgspec.Struct):
    """What the hello of every version has."""

    version: int


_any_hello = msgspec.msgpack.Decoder(_AnyHello)


def encode(message: FromPhone | FromRelay) -> bytes:
    """The bytes of one frame."""
    return _encoder.encode(message)


def decode_from_phone(frame: bytes) -> FromPhone:
    """A message of a phone; raises `BadMessage`."""
    return _decode(_from_phone, frame)


def decode_from_relay(frame: bytes) -> FromRelay:
    """A message of the relay; raises `BadMessage`."""
    return _decode(_from_relay, frame)


def version_of(hello: bytes) -> int | None:
    """The version in a hello of any version; ``None`` where there is none."""
    try:
        return _decode(_any_hello, hello).version
    except BadMessage:
        return None


def login_transcript(*, relay: bytes, nonce: bytes, name: str) -> bytes:
    """What a phone signs to log in."""
    return length_prefixed(b"qcall/1 login", VERSION.to_bytes(2), relay, nonce, name.encode())


def enrol_transcript(
    *,
    relay: bytes,
    nonce: bytes,
    name: str,
    invite: str,
    ed25519_public: bytes,
    mldsa_public: bytes,
    csr_pem: bytes,
) -> bytes:
    """What a phone signs to enrol: possession of both keys, for this name, invite and CSR, at this relay."""
    return length_prefixed(
        b"qcall/1 enrol",
        VERSION.to_bytes(2),
        relay,
        nonce,
        name.encode(),
        invite.encode(),
        ed25519_public,
        mldsa_public,
        csr_pem,
    )


def ed25519_message(transcript: bytes) -> bytes:
    """What Ed25519, which has no context argument, signs for ``transcript``; ML-DSA signs it as it is."""
    return length_prefixed(SIGNING_CONTEXT, transcript)


def length_prefixed(*fields: bytes) -> bytes:
    """Each field as its length in 4 bytes, big-endian, and its bytes: no two lists give the same."""
    return b"".join(len(field).to_bytes(4) + field for field in fields)


def _decode(decoder: msgspec.msgpack.Decoder[T], frame: bytes) -> T:
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
