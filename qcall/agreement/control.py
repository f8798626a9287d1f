"""The in-call control channel: typed messages, each sealed under ctl[d, e] and numbered.

    version (1 byte) | epoch (4) | number (8) | AES-256-GCM box of a msgpack map

The header is the box's associated data and the number its nonce. The data channel underneath is reliable
and ordered, so the receiver opens exactly the next number: a message that is replayed, dropped, reordered
or reflected ends the call. The first message of each side is its key confirmation (KC).
"""

from __future__ import annotations

import msgspec

from qcall.crypto.aead import Box
from qcall.errors import AgreementFailed

from .messages import VERSION, Hash, Word

LONGEST = 1 << 14
"""Bytes of a sealed message."""
HEADER_LENGTH = 13


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="confirm"):
    """KC: HMAC over th4 under a key from root0. Whoever sends it holds all three layers."""

    mac: Hash


class Ringing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ringing"):
    """The callee's user is being alerted."""


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answered"):
    """The callee's user answered: media may flow."""


class Hangup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hangup"):
    """The call is over."""

    reason: Word


class Mute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mute"):
    """Whether the sender's microphone is off."""

    on: bool


Message = Confirm | Ringing | Answered | Hangup | Mute
_DECODER = msgspec.msgpack.Decoder(Message)


class Control:
    """Seals own messages and opens the peer's."""

    def __init__(self, epoch: int, send: Box, receive: Box) -> None:
        self.epoch = epoch
        self._send = send
        self._receive = receive

    def seal(self, message: Message) -> bytes:
        """The next message of this side."""
        header = _header(self.epoch, self._send.number)
        return header + self._send.seal(msgspec.msgpack.encode(message), header)

    def open(self, sealed: bytes) -> Message:
        """The next message of the peer. AgreementFailed when it is anything else."""
        header = _header(self.epoch, self._receive.number)
        if not HEADER_LENGTH < len(sealed) <= LONGEST or sealed[:HEADER_LENGTH] != header:
            raise AgreementFailed(
                "a control message is not the next one: it was replayed, dropped or changed", code="control"
            )
        plaintext = self._receive.open(sealed[HEADER_LENGTH:], header)
        try:
            message: Message = _DECODER.decode(plaintext)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise AgreementFailed(f"a control message is malformed: {error}", code="malformed") from None
        return message


def _header(epoch: int, number: int) -> bytes:
    return bytes([VERSION]) + epoch.to_bytes(4) + number.to_bytes(8)
