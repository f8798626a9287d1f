"""AES-256-GCM (NIST SP 800-38D) under a key for one direction, with a counter as nonce.

The nonce is the 12-byte IV from the key schedule XOR the message's number, as in TLS 1.3 (RFC 8446,
section 5.3): it never repeats under one key, and a message that is replayed, reordered or left out does
not open.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qcall.errors import AgreementFailed

from .secret import Secret

KEY_LENGTH, IV_LENGTH, TAG_LENGTH = 32, 12, 16
"""Bytes."""
BOX_LENGTH = KEY_LENGTH + IV_LENGTH


class Box:
    """Seals or opens the numbered messages of one direction. ``material`` is 32 bytes key, 12 bytes IV."""

    def __init__(self, material: Secret) -> None:
        if len(material) != BOX_LENGTH:
            raise ValueError(f"a box takes {BOX_LENGTH} bytes, not {len(material)}")
        raw = material.reveal()
        self._cipher = AESGCM(raw[:KEY_LENGTH])
        self._iv = int.from_bytes(raw[KEY_LENGTH:])
        self.number = 0

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """The next message: ciphertext and tag."""
        return self._cipher.encrypt(self._nonce(), plaintext, associated)

    def open(self, ciphertext: bytes, associated: bytes) -> bytes:
        """The next message's plaintext. AgreementFailed when anything about it is not as it was sealed."""
        nonce = self._nonce()
        try:
            return self._cipher.decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            raise AgreementFailed(
                "a sealed message did not open: it was changed on the way or the keys differ", code="box"
            ) from None

    def _nonce(self) -> bytes:
        number, self.number = self.number, self.number + 1
        return (self._iv ^ number).to_bytes(IV_LENGTH)
