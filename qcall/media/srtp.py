"""SRTP under keys that change during a call: one libsrtp session per epoch and direction.

The profile is AEAD_AES_256_GCM (RFC 7714); a key is 44 bytes, 32 of key and 12 of salt. ``SrtpEpochs`` has
the four methods that aiortc's ``RTCDtlsTransport`` calls on its SRTP sessions and takes their place.

    stage    the next epoch can be received
    switch   the next epoch is sent, from the first packet on where that is safe
    retire   the previous epoch is no longer received

libsrtp has neither a key identifier (MKI) in its Python binding nor a way to move a stream to new keys. So
an epoch is a session, and the receiver tries: the epoch that opened the last packet, then the next, then
the previous. Every session refuses to protect one sequence number twice, because in GCM that gives the
authentication key away; aiortc's own sessions would do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pylibsrtp import Error, Policy, Session

from qcall.crypto.secret import Secret

KEY_LENGTH = 44
"""Bytes: the key and the salt of AEAD_AES_256_GCM (RFC 7714, section 12)."""
REPLAY_WINDOW = 1024
"""Packets (RFC 3711, section 3.3.2, asks for 64 at least)."""
LONGEST_PACKET = 1400
"""Bytes; leaves libsrtp's binding, which works in 1,500 bytes, room for its trailer."""

# A fresh session starts at rollover counter 0 on both sides. If the sender's first packets are lost and
# the receiver meets the epoch only after the sequence number wrapped, the counters differ for ever: an
# epoch may begin only far from the wrap.
FIRST_SWITCH, LAST_SWITCH = 1024, 60_000

PROFILE = Policy.SRTP_PROFILE_AEAD_AES_256_GCM


@dataclass(frozen=True, slots=True)
class SrtpKeyPair:
    """The keys of one epoch as one phone sees them; whoever installs them wipes them."""

    send: Secret
    receive: Secret


class SrtpEpochs:
    """Protects and opens the RTP and RTCP packets of one call. Takes ``keys`` over and wipes them.

    ``failures`` counts packets that no epoch opened, ``failures_in_a_row`` those since the last good one;
    packets that only repeat an earlier one (RFC 3711, section 3.3.2) are refused and not counted.
    """

    def __init__(self, keys: SrtpKeyPair) -> None:
        self.failures = 0
        self.failures_in_a_row = 0
        self._sending = 0
        self._receiving = 0
        self._tx: Session | None = None
        self._next_tx: Session | None = None
        self._switch = False
        self._rx: dict[int, Session] = {}
        self._tx, self._rx[0] = open_sessions(keys)

    @property
    def sending(self) -> int:
        """The epoch of outgoing packets."""
        return self._sending

    @property
    def receiving(self) -> int:
        """The epoch that opened the last packet."""
        return self._receiving

    @property
    def staged(self) -> bool:
        """Whether an epoch has been staged that is not sent yet; another cannot be staged until it is."""
        return self._next_tx is not None

    def stage(self, keys: SrtpKeyPair) -> None:
        """Receive the next epoch beside the current one. Takes ``keys`` over and wipes them."""
        if self.staged:
            raise ValueError("the epoch staged before is not in use yet")
        self._next_tx, self._rx[self._sending + 1] = open_sessions(keys)

    def switch(self) -> None:
        """Send the staged epoch, from the next packet whose sequence number is far from the wrap."""
        if not self.staged:
            raise ValueError("no epoch is staged")
        self._switch = True

    def retire(self) -> None:
        """Forget the receive keys of every epoch before the one that the peer sends now."""
        for epoch in [epoch for epoch in self._rx if epoch < self._receiving]:
            del self._rx[epoch]

    def wipe(self) -> None:
        """Forget all keys: nothing can be protected or opened any more."""
        self._tx = self._next_tx = None
        self._switch = False
        self._rx.clear()

    def protect(self, packet: bytes) -> bytes:
        """An RTP packet as SRTP. Raises ``pylibsrtp.Error`` rather than protect a sequence number twice."""
        if self._switch and FIRST_SWITCH < int.from_bytes(packet[2:4], "big") < LAST_SWITCH:
            self._tx, self._next_tx, self._switch = self._next_tx, None, False
            self._sending += 1
        return self._current_tx().protect(packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet as SRTCP."""
        return self._current_tx().protect_rtcp(packet)

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in an SRTP packet. Raises ``pylibsrtp.Error`` when no epoch opens it."""
        return self._open(packet, Session.unprotect)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The RTCP packet in an SRTCP packet. Raises ``pylibsrtp.Error`` when no epoch opens it."""
        return self._open(packet, Session.unprotect_rtcp)

    def _current_tx(self) -> Session:
        if self._tx is None:
            raise Error("the keys have been wiped")
        return self._tx

    def _open(self, packet: bytes, method: Callable[[Session, bytes], bytes]) -> bytes:
        if len(packet) > LONGEST_PACKET:
            raise Error("packet is too long")
        repeated = False
        for epoch in (self._receiving, self._receiving + 1, self._receiving - 1):
            session = self._rx.get(epoch)
            if session is None:
                continue
            try:
                plain = method(session, packet)
            except Error as error:
                repeated |= str(error).startswith("replay check failed")
                continue
            self._receiving = max(self._receiving, epoch)
            if method is Session.unprotect:  # RTCP that opens says nothing about the voice
                self.failures_in_a_row = 0
            return plain
        if repeated:
            raise Error("the packet repeats an earlier one")
        self.failures += 1
        self.failures_in_a_row += 1
        raise Error("no epoch opens the packet")


def open_sessions(keys: SrtpKeyPair) -> tuple[Session, Session]:
    """The sending and the receiving session under ``keys``, which are wiped."""
    return (
        open_session(keys.send, Policy.SSRC_ANY_OUTBOUND),
        open_session(keys.receive, Policy.SSRC_ANY_INBOUND),
    )


def open_session(key: Secret, direction: int) -> Session:
    """One session for all streams of ``direction``; ``key`` and the binding's copy of it are wiped."""
    if len(key) != KEY_LENGTH:
        raise ValueError(f"an SRTP key has {KEY_LENGTH} bytes, not {len(key)}")
    policy = Policy(key=key.reveal(), ssrc_type=direction, srtp_profile=PROFILE)
    policy.allow_repeat_tx = False
    policy.window_size = REPLAY_WINDOW
    session = Session(policy)
    copy: Any = policy.key  # a writable view, whatever its annotation says
    copy[:] = bytes(KEY_LENGTH)
    key.wipe()
    return session
