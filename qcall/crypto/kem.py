"""Key encapsulation: ML-KEM (FIPS 203) behind an interface that a second implementation can fill.

A private key is kept as its 64-byte seed ``d || z`` (FIPS 203, section 3.3), the one form without
redundancy that could disagree with itself. Lengths are checked here, the modulus check on public keys
(section 7.2) is the provider's. A ciphertext that was tampered with decapsulates to another secret,
silently (implicit rejection, section 6.3): the key agreement must fail by what is derived, and does.

Encapsulation draws its own randomness inside the provider; FIPS 203 forbids to hand it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import mlkem

from qcall.errors import AgreementFailed

from .secret import Secret

SHARED_LENGTH = 32
"""Bytes of a shared secret of ML-KEM; those of the other KEMs have no fewer."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The lengths of one KEM, in bytes; ``seed`` is 0 where the provider draws its own."""

    name: str
    public: int
    ciphertext: int
    seed: int


ML_KEM_768 = Parameters("ML-KEM-768", public=1184, ciphertext=1088, seed=64)
ML_KEM_1024 = Parameters("ML-KEM-1024", public=1568, ciphertext=1568, seed=64)
"""FIPS 203, table 3."""
HQC_5 = Parameters("HQC-5", public=7237, ciphertext=14421, seed=0)
"""HQC of 2025-08-22."""
HQC_256 = Parameters("HQC-256", public=7245, ciphertext=14421, seed=0)
"""HQC of 2023-04-30."""
EFRODO_KEM_1344 = Parameters("eFrodoKEM-1344", public=21520, ciphertext=21632, seed=0)
"""FrodoKEM with SHAKE as in round 3 of NIST's process, without a salt."""


class PrivateKey(Protocol):
    """One key pair."""

    @property
    def public(self) -> bytes: ...

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """The shared secret. AgreementFailed for a ciphertext of another length."""


class Kem(Protocol):
    """One KEM of one provider."""

    @property
    def parameters(self) -> Parameters: ...

    def private(self, seed: Secret) -> PrivateKey:
        """The key pair of a seed. ValueError for a seed of another length: a fault of ours."""

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        """Ciphertext and shared secret. AgreementFailed for a public key that is not valid."""


def check_public(parameters: Parameters, public: bytes) -> None:
    """Refuse a public key of another length."""
    if len(public) != parameters.public:
        raise AgreementFailed(
            f"a key of {parameters.name} has {len(public)} bytes, not {parameters.public}", code="kem-length"
        )


def check_ciphertext(parameters: Parameters, ciphertext: bytes) -> None:
    """Refuse a ciphertext of another length."""
    if len(ciphertext) != parameters.ciphertext:
        raise AgreementFailed(
            f"a ciphertext of {parameters.name} has {len(ciphertext)} bytes, not {parameters.ciphertext}",
            code="kem-length",
        )


_PRIVATE: Mapping[str, Callable[[bytes], mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]] = {
    ML_KEM_768.name: mlkem.MLKEM768PrivateKey.from_seed_bytes,
    ML_KEM_1024.name: mlkem.MLKEM1024PrivateKey.from_seed_bytes,
}
_PUBLIC: Mapping[str, Callable[[bytes], mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey]] = {
    ML_KEM_768.name: mlkem.MLKEM768PublicKey.from_public_bytes,
    ML_KEM_1024.name: mlkem.MLKEM1024PublicKey.from_public_bytes,
}


class MlKemPrivateKey:
    """A key pair of ML-KEM in ``cryptography``."""

    def __init__(self, parameters: Parameters, seed: Secret) -> None:
        if len(seed) != parameters.seed:
            raise ValueError(f"a seed of {parameters.name} has {parameters.seed} bytes, not {len(seed)}")
        self._parameters = parameters
        self._key = _PRIVATE[parameters.name](seed.reveal())
        self.public = self._key.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """See `PrivateKey.decapsulate`."""
        check_ciphertext(self._parameters, ciphertext)
        return Secret(self._key.decapsulate(ciphertext))


class MlKem:
    """ML-KEM of ``cryptography`` (OpenSSL or AWS-LC underneath)."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def private(self, seed: Secret) -> MlKemPrivateKey:
        """See `Kem.private`."""
        return MlKemPrivateKey(self.parameters, seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        """See `Kem.encapsulate`."""
        check_public(self.parameters, public)
        try:
            shared, ciphertext = _PUBLIC[self.parameters.name](public).encapsulate()
        except ValueError:
            raise AgreementFailed(
                f"a key of {self.parameters.name} is not a valid key", code="kem-key"
            ) from None
        return ciphertext, Secret(shared)


CRYPTOGRAPHY: Mapping[str, Kem] = {each.name: MlKem(each) for each in (ML_KEM_768, ML_KEM_1024)}
"""The default provider: its KEMs by name."""
