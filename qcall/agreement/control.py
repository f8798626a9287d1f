"""The in-call control channel: typed messages, each sealed under ctl[d, e] and numbered.

    version (1 byte) | epoch (4) | number (8) | AES-256-GCM box of a msgpack map

The header is the box's associated data and the number its nonce. The data channel underneath is reliable
and ordered, so the receiver opens exactly the next number: a message that is replayed, dropped, reordered
or reflected ends the call. Numbers go on across epochs, so that the last messages of an epoch cannot be
dropped either. The first message of each side is its key confirmation (KC).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from qcall.crypto.aead import Box
from qcall.errors import AgreementFailed

from .messages import VERSION, Bytes32, Hash, KemBytes, KeyId, QkdTerms, Word

LONGEST = 1 << 16
"""Bytes of a sealed message."""
HEADER_LENGTH = 13
LONGEST_TEXT = 500
"""Characters of one text."""


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="confirm"):
    """KC: HMAC over th4 under a key from root0. Whoever sends it holds all three layers."""

    mac: Hash


class Ringing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ringing"):
    """The callee's user is being alerted."""


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answered"):
    """The callee's user answered: media may flow."""


class SignaturePair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both signatures of an identity, in signed rekeys and under a receipt."""

    ed25519: Annotated[bytes, Meta(min_length=64, max_length=64)]
    mldsa: Annotated[bytes, Meta(max_length=4627)]


class Hangup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hangup"):
    """The call is over. With ``epoch`` and ``signature``: its receipt up to that epoch, signed."""

    reason: Word
    epoch: Annotated[int, Meta(ge=0, lt=1 << 32)] | None = None
    signature: SignaturePair | None = None


class Farewell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="farewell"):
    """The answer to a signed `Hangup`: the same receipt, signed."""

    signature: SignaturePair


class Mute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mute"):
    """Whether the sender's microphone is off."""

    on: bool


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hold"):
    """Whether the sender has put the call on hold: neither side's speech is sent or played meanwhile."""

    on: bool


class RecordingNotice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="recording"):
    """Whether the sender records its own side of the call, or both; sent before the first sample is kept."""

    on: bool
    both: bool


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="text"):
    """A line for the other user to read."""

    text: Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]


class Rekey1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rk1"):
    """Caller: fresh shares, and which quantum key goes into the root of ``epoch``."""

    epoch: Annotated[int, Meta(ge=1, lt=1 << 32)]
    share: Bytes32
    kem_keys: Annotated[tuple[KemBytes, ...], Meta(min_length=1, max_length=4)]
    qkd: QkdTerms


class Rekey2Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The callee's shares, and the keys it fetched."""

    share: Bytes32
    ciphertexts: Annotated[tuple[KemBytes, ...], Meta(min_length=1, max_length=4)]
    key_ids: Annotated[tuple[KeyId, ...], Meta(max_length=16)]


class Rekey2(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rk2"):
    """Callee: an encoded `Rekey2Body`; it can receive the new epoch."""

    body: Annotated[bytes, Meta(max_length=1 << 16)]
    signature: SignaturePair | None
    mac: Hash


class Rekey3(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rk3"):
    """Caller: it can receive the new epoch, and what it sends on this channel from now on is under it."""

    signature: SignaturePair | None
    mac: Hash


class RekeyAgain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="again"):
    """Callee: its key node gave no key, for this reason."""

    reason: Word


class RekeyLate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="late"):
    """Caller: rekeys keep failing for this reason; in ``seconds`` it hangs up."""

    reason: Word
    seconds: Annotated[int, Meta(ge=0, lt=1 << 16)]


class RekeyWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="renew"):
    """Callee: what comes does not open; rekey now."""


RekeyMessage = Rekey1 | Rekey2 | Rekey3 | RekeyAgain | RekeyLate | RekeyWanted
InCallMessage = Mute | Hold | RecordingNotice | Text
Message = Confirm | Ringing | Answered | Hangup | Farewell | InCallMessage | RekeyMessage
_DECODER = msgspec.msgpack.Decoder(Message)


class Control:
    """Seals own messages and opens the peer's, through the epochs of a call."""

    def __init__(self, send: Box, receive: Box) -> None:
        self._send, self._send_epoch = send, 0
        self._receive, self._receive_epoch = receive, 0
        self._staged: Box | None = None
        self.heard = ""
        """What the latest message that was opened is."""

    def seal(self, message: Message) -> bytes:
        """The next message of this side."""
        header = _header(self._send_epoch, self._send.number)
        return header + self._send.seal(msgspec.msgpack.encode(message), header)

    def open(self, sealed: bytes) -> Message:
        """The next message of the peer. AgreementFailed when it is anything else."""
        if not HEADER_LENGTH < len(sealed) <= LONGEST:
            raise AgreementFailed(f"a control message of {len(sealed)} bytes is none", code="length")
        header = sealed[:HEADER_LENGTH]
        number = self._receive.number
        if self._staged is not None and header == _header(self._receive_epoch + 1, number):
            self._staged.number = number
            self._receive, self._staged = self._staged, None
            self._receive_epoch += 1
        if header != _header(self._receive_epoch, number):
            raise AgreementFailed(
                "a control message is not the next one: it was replayed, dropped or changed", code="control"
            )
        plaintext = self._receive.open(sealed[HEADER_LENGTH:], header)
        try:
            message: Message = _DECODER.decode(plaintext)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise AgreementFailed(f"a control message is malformed: {error}", code="malformed") from None
        if msgspec.msgpack.encode(message) != plaintext:
            raise AgreementFailed("a control message is not encoded in the one allowed way", code="malformed")
        self.heard = kind_of(message)
        return message

    def stage(self, receive: Box) -> None:
        """Take messages of the next epoch, from the first one that comes."""
        if self._staged is not None:
            raise AgreementFailed("the epoch before was not taken up by the other phone", code="out-of-turn")
        self._staged = receive

    def switch(self, send: Box) -> None:
        """Seal under the next epoch from now on."""
        send.number = self._send.number
        self._send, self._send_epoch = send, self._send_epoch + 1


def kind_of(message: Message) -> str:
    """What ``message`` is called on the wire."""
    return str(message.__struct_config__.tag)


def _header(epoch: int, number: int) -> bytes:
    return bytes([VERSION]) + epoch.to_bytes(4) + number.to_bytes(8)
