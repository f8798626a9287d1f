"""Checks a phone's signatures: Ed25519 and ML-DSA-87, both or none."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PublicKey

from qcall.wire.signalling import SIGNING_CONTEXT, Enrol, Login, ed25519_message


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """An identity as the relay knows it: Ed25519, 32 bytes, and ML-DSA-87, 2592 bytes."""

    ed25519: bytes
    mldsa: bytes

    def signed(self, transcript: bytes, message: Login | Enrol) -> bool:
        """Whether both signatures in ``message`` (RFC 8032, section 5.1.7; FIPS 204, algorithm 3) are valid.

        False, too, for a key that is none.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.ed25519).verify(
                message.ed25519_signature, ed25519_message(transcript)
            )
            MLDSA87PublicKey.from_public_bytes(self.mldsa).verify(
                message.mldsa_signature, transcript, SIGNING_CONTEXT
            )
        except (InvalidSignature, ValueError):
            return False
        return True


NOBODY = PublicKeys(bytes(32), bytes(2592))
"""Stands in for an unknown user's keys: a login takes as long for an unknown name as for a known one."""
