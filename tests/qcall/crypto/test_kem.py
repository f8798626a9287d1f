"""What the interface to a KEM promises, whichever provider fills it."""

from __future__ import annotations

import random

import pytest

from qcall.crypto.kem import CRYPTOGRAPHY, SHARED_LENGTH, Kem
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

KEMS = list(CRYPTOGRAPHY.values())


def seed(kem: Kem) -> Secret:
    return Secret(random.Random(7).randbytes(kem.parameters.seed))


@pytest.mark.parametrize("kem", KEMS, ids=lambda kem: kem.parameters.name)
def test_both_sides_share_a_secret(kem: Kem) -> None:
    key = kem.private(seed(kem))
    ciphertext, shared = kem.encapsulate(key.public)
    assert key.decapsulate(ciphertext) == shared
    assert len(shared) == SHARED_LENGTH


@pytest.mark.parametrize("kem", KEMS, ids=lambda kem: kem.parameters.name)
def test_a_changed_ciphertext_gives_another_secret_and_no_error(kem: Kem) -> None:
    key = kem.private(seed(kem))
    ciphertext, shared = kem.encapsulate(key.public)
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert key.decapsulate(changed) != shared
    assert key.decapsulate(changed) == key.decapsulate(changed)


@pytest.mark.parametrize("kem", KEMS, ids=lambda kem: kem.parameters.name)
def test_another_length_is_refused(kem: Kem) -> None:
    key = kem.private(seed(kem))
    ciphertext, _ = kem.encapsulate(key.public)
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\0"):
        with pytest.raises(AgreementFailed) as caught:
            key.decapsulate(wrong)
        assert caught.value.code == "kem-length"
    for wrong in (b"", key.public[:-1], key.public + b"\0"):
        with pytest.raises(AgreementFailed) as caught:
            kem.encapsulate(wrong)
        assert caught.value.code == "kem-length"
    with pytest.raises(ValueError, match="seed"):
        kem.private(Secret(bytes(63)))
