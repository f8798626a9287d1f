"""The KEM work of a handshake or a rekey, in one piece for each side, to be done beside the loop.

ML-KEM takes a tenth of a millisecond. The KEMs of Q5+ can take longer than a packet of speech lasts, some of
them a hundred times as long, and whoever waited for them would neither send nor play nor draw meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qcall.crypto.kem import Kem, PrivateKey
from qcall.crypto.secret import Secret


@dataclass(frozen=True)
class Worked:
    """What came of it, one of each for every KEM of the suite."""

    keys: list[PrivateKey] = field(default_factory=list, repr=False)
    ciphertexts: list[bytes] = field(default_factory=list)
    shared: list[Secret] = field(default_factory=list)

    def wipe(self) -> None:
        """The shared secrets have been used, or will not be."""
        for secret in self.shared:
            secret.wipe()


def key_pairs(kems: Sequence[Kem], entropy: Callable[[int], bytes]) -> Worked:
    """New key pairs."""
    worked = Worked()
    for kem in kems:
        with Secret(entropy(kem.parameters.seed)) as seed:
            worked.keys.append(kem.private(seed))
    return worked


def encapsulate(kems: Sequence[Kem], publics: Sequence[bytes]) -> Worked:
    """Ciphertexts and shared secrets for the caller's keys. AgreementFailed for a key that is not valid."""
    worked = Worked()
    try:
        for kem, public in zip(kems, publics, strict=True):
            ciphertext, shared = kem.encapsulate(public)
            worked.ciphertexts.append(ciphertext)
            worked.shared.append(shared)
    except BaseException:
        worked.wipe()
        raise
    return worked


def decapsulate(keys: Sequence[PrivateKey], ciphertexts: Sequence[bytes]) -> Worked:
    """The shared secrets of the callee's ciphertexts. AgreementFailed for one that is not valid."""
    worked = Worked()
    try:
        for key, ciphertext in zip(keys, ciphertexts, strict=True):
            worked.shared.append(key.decapsulate(ciphertext))
    except BaseException:
        worked.wipe()
        raise
    return worked
