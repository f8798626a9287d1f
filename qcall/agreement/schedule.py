"""The key schedule of qcall/1. Finishing a stage gives an object of the next type and wipes the last one.

    Early ── KEM, tc2 ──> Handshake ── QKD, th3 ──> Mixed ── DTLS exporter, th4 ──> Root (epoch 0) ──> Root …

    S0    = Extract(H("qcall/1 " + suite),     lp("x25519", dh))
    S1    = Extract(Exp(S0, "next", tc2, 48),  lp("mlkem", ss))         once more for a second KEM
    hs[d] = Exp(S1, "hs " + d, tc2, 44)
    sas   = Exp(S1, "sas", H(lp("qcall/1 sas transcript", M1, M2, n_I, idfp_I)), 4)
    S2    = Extract(Exp(S1, "next", th3, 48),  lp("qkd", state, u16 n, id1, key1, …))
    root0 = Extract(Exp(S2, "next", th4, 48),  lp("dtls", exporter))
    root_{e+1} = Extract(Exp(root_e, "rekey", th_rk, 48), lp("x25519", dh', "mlkem", ss', "qkd", …))
    srtp[d, e], ctl[d, e] = Exp(root_e, "srtp " + d | "ctl " + d, lp(th4, call_id, u32 e), 44)

Every input is typed by a label and every salt carries the transcript so far, so the chain is as strong as
its strongest input, and the KEM's public key and ciphertext are bound to its secret (the combiner does not
rely on what ML-KEM binds by itself). A step cannot be left out: there is no way from one type to a later
one but through the types between them. SRTP keys exist on `Root` alone.

The SAS is taken from S1 and from M1, M2 and what M1 commits to: all of it is fixed before n_I is revealed.
From th4 a man in the middle, who moves last there, could grind for equal words offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qcall.crypto.aead import BOX_LENGTH, Box
from qcall.crypto.kdf import HASH_LENGTH, Label, digest, exp, extract, lp, suite_salt
from qcall.crypto.secret import Secret

QKD_KEY_LENGTH = 32
"""Bytes of every quantum key."""
EXPORTER_LABEL = b"EXPERIMENTAL-qcall-1"
EXPORTER_LENGTH = 48
"""The TLS exporter (RFC 5705) that joins the DTLS connection to the agreement; its context is th4."""


class Direction(StrEnum):
    """``i``: caller to callee; ``r``: callee to caller."""

    I = "i"  # noqa: E741
    R = "r"

    @property
    def other(self) -> Direction:
        return Direction.R if self is Direction.I else Direction.I


HANDSHAKE = {Direction.I: Label.HANDSHAKE_I, Direction.R: Label.HANDSHAKE_R}
MAC = {Direction.I: Label.MAC_I, Direction.R: Label.MAC_R}
CONFIRM = {Direction.I: Label.CONFIRM_I, Direction.R: Label.CONFIRM_R}
SRTP = {Direction.I: Label.SRTP_I, Direction.R: Label.SRTP_R}
REKEY_MAC = {Direction.I: Label.REKEY_MAC_I, Direction.R: Label.REKEY_MAC_R}
CONTROL = {Direction.I: Label.CONTROL_I, Direction.R: Label.CONTROL_R}


class QuantumKey(Protocol):
    """A key from a key node: 32 secret bytes, their ID, and the nodes it passed."""

    @property
    def key_id(self) -> str: ...
    @property
    def key(self) -> Secret: ...
    @property
    def path(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """SRTP keys of one epoch, as one phone uses them: each 32 bytes key and 12 bytes salt (RFC 7714)."""

    epoch: int
    send: Secret
    receive: Secret


def qkd_input(state: str, keys: Sequence[QuantumKey]) -> bytes:
    """lp("qkd", state, u16 n, id1, key1, …). ValueError for a key that is not 32 bytes."""
    fields: list[bytes | str] = [Label.QKD, state, len(keys).to_bytes(2)]
    for each in keys:
        if len(each.key) != QKD_KEY_LENGTH:
            raise ValueError(f"a quantum key has {QKD_KEY_LENGTH} bytes, not {len(each.key)}")
        fields += [each.key_id, each.key.reveal()]
    return lp(*fields)


def _step(secret: Secret, transcript: bytes, ikm: bytes) -> Secret:
    """The next value of the chain; the last one is wiped."""
    with secret, exp(secret, Label.NEXT, transcript, HASH_LENGTH) as salt:
        return extract(salt.reveal(), ikm)


class Early:
    """S0: X25519 is mixed in, and its secret wiped."""

    def __init__(self, suite: str, dh: Secret) -> None:
        with dh:
            self._secret = extract(suite_salt(suite), lp(Label.X25519, dh.reveal()))

    def mix_kem(self, shared: Sequence[Secret], tc2: bytes) -> Handshake:
        """Mix in the secret of every KEM of the suite, at least one, and wipe them."""
        first, *more = shared
        with first:
            secret = _step(self._secret, tc2, lp(Label.KEM, first.reveal()))
        for each in more:
            with each:
                secret = _step(secret, tc2, lp(Label.SECOND_KEM, each.reveal()))
        return Handshake(secret, tc2)


class Handshake:
    """S1: X25519 and ML-KEM are mixed in; the handshake can be encrypted and the words be told."""

    def __init__(self, secret: Secret, tc2: bytes) -> None:
        self._secret = secret
        self._tc2 = tc2

    def box(self, direction: Direction) -> Box:
        """The box for the messages of one direction; ask for each once, it counts its messages."""
        with exp(self._secret, HANDSHAKE[direction], self._tc2, BOX_LENGTH) as material:
            return Box(material)

    def words_value(self, m1: bytes, m2: bytes, nonce: bytes, fingerprint: bytes) -> bytes:
        """32 bits of short authentication string, as 4 bytes."""
        transcript = digest(Label.WORDS_TRANSCRIPT, m1, m2, nonce, fingerprint)
        with exp(self._secret, Label.WORDS, transcript, 4) as value:
            return value.reveal()

    def mix_qkd(self, state: str, keys: Sequence[QuantumKey], th3: bytes) -> Mixed:
        """Mix in the quantum keys, or the signed statement that there are none."""
        return Mixed(_step(self._secret, th3, qkd_input(state, keys)))

    def wipe(self) -> None:
        self._secret.wipe()


class Mixed:
    """S2: all three layers are mixed in; the two phones can prove to each other that they agree."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def mac_key(self, direction: Direction, th3: bytes) -> Secret:
        """The key of MAC_I or MAC_R."""
        return exp(self._secret, MAC[direction], th3, HASH_LENGTH)

    def mix_dtls(self, exporter: Secret, th4: bytes, call_id: bytes) -> Root:
        """Mix in the DTLS connection. ValueError for an exporter of another length than 48 bytes."""
        if len(exporter) != EXPORTER_LENGTH:
            raise ValueError(f"the exporter has {EXPORTER_LENGTH} bytes, not {len(exporter)}")
        return Root(_step(self._secret, th4, lp(Label.DTLS, exporter.reveal())), th4, call_id, 0)

    def wipe(self) -> None:
        self._secret.wipe()


class Root:
    """root_e: what media and control keys of epoch e come from, and nothing else does."""

    def __init__(self, secret: Secret, th4: bytes, call_id: bytes, epoch: int) -> None:
        self._secret = secret
        self._th4 = th4
        self._call_id = call_id
        self.epoch = epoch

    def confirm_key(self, direction: Direction) -> Secret:
        """The key of the key confirmation in one direction."""
        return exp(self._secret, CONFIRM[direction], self._th4, HASH_LENGTH)

    def srtp(self, own: Direction) -> SrtpKeys:
        """The SRTP keys of this epoch for the phone that sends in direction ``own``."""
        send, receive = (exp(self._secret, SRTP[d], self._context, BOX_LENGTH) for d in (own, own.other))
        return SrtpKeys(self.epoch, send, receive)

    def control_box(self, direction: Direction) -> Box:
        """The box of the control channel in one direction; ask for each once, it counts its messages."""
        with exp(self._secret, CONTROL[direction], self._context, BOX_LENGTH) as material:
            return Box(material)

    def rekey(
        self, dh: Secret, shared: Sequence[Secret], state: str, keys: Sequence[QuantumKey], th: bytes
    ) -> Root:
        """The root of the next epoch, of the old root and all three layers afresh.

        The old root and the secrets of X25519 and ML-KEM are wiped.
        """
        with dh:
            fields: list[bytes | str] = [Label.X25519, dh.reveal()]
        for label, each in zip((Label.KEM, Label.SECOND_KEM), shared, strict=False):
            with each:
                fields += [label, each.reveal()]
        with self._secret, exp(self._secret, Label.REKEY, th, HASH_LENGTH) as salt:
            secret = extract(salt.reveal(), lp(*fields) + qkd_input(state, keys))
        return Root(secret, self._th4, self._call_id, self.epoch + 1)

    def rekey_mac_key(self, direction: Direction, th: bytes) -> Secret:
        """The key of the MAC by which this root is confirmed in one direction."""
        return exp(self._secret, REKEY_MAC[direction], th, HASH_LENGTH)

    def wipe(self) -> None:
        self._secret.wipe()

    @property
    def _context(self) -> bytes:
        return lp(self._th4, self._call_id, self.epoch.to_bytes(4))
