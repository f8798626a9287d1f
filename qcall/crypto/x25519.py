"""X25519 (RFC 7748) with contributory behaviour: low-order points do not pass."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from qcall.errors import AgreementFailed

from .secret import Secret

KEY_LENGTH = 32
"""Bytes of a private key, a public key and a shared secret."""


class KeyPair:
    """One key pair of 32 private bytes, for one exchange. ``private`` is wiped, the library has its copy."""

    def __init__(self, private: Secret) -> None:
        with private:
            self._key = X25519PrivateKey.from_private_bytes(private.reveal())
        self.public = self._key.public_key().public_bytes_raw()

    def exchange(self, peer: bytes) -> Secret:
        """The shared secret, 32 bytes.

        Raises AgreementFailed for a public key of another length and for a low-order point, whose result is
        all zeros whatever the private key is (RFC 7748, section 6.1).
        """
        if len(peer) != KEY_LENGTH:
            raise AgreementFailed(
                f"an X25519 key has {len(peer)} bytes, not {KEY_LENGTH}", code="x25519-length"
            )
        try:
            return Secret(self._key.exchange(X25519PublicKey.from_public_bytes(peer)))
        except ValueError:
            raise AgreementFailed("an X25519 key is a point of low order", code="x25519-low-order") from None
