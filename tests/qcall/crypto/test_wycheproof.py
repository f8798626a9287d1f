"""Project Wycheproof's vectors through our own wrappers, never past them. Source: tests/data/wycheproof."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcall.crypto import x25519
from qcall.crypto.aead import Box
from qcall.crypto.identity import ML_DSA_87, verify_ed25519, verify_mldsa
from qcall.crypto.kdf import expand, extract
from qcall.crypto.kem import CRYPTOGRAPHY
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

VECTORS = Path(__file__).parents[2] / "data" / "wycheproof"
Case = tuple[dict[str, Any], dict[str, Any]]


def cases(name: str) -> Iterator[Case]:
    """Every (group, test) of a file; fails when the file is not whole."""
    data = json.loads((VECTORS / f"{name}.json").read_text())
    found = [(group, test) for group in data["testGroups"] for test in group["tests"]]
    assert len(found) == data["numberOfTests"] > 0
    yield from found


def octets(test: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(test.get(name, ""))


@pytest.mark.parametrize(
    ("file", "kem"), [("mlkem_1024_test", "ML-KEM-1024"), ("mlkem_768_test", "ML-KEM-768")]
)
def test_ml_kem_decapsulates_as_specified(file: str, kem: str) -> None:
    results: Counter[str] = Counter()
    for _, test in cases(file):
        results[test["result"]] += 1
        if test["result"] == "valid":
            key = CRYPTOGRAPHY[kem].private(Secret(octets(test, "seed")))
            assert key.public == octets(test, "ek"), test["tcId"]
            assert key.decapsulate(octets(test, "c")).reveal() == octets(test, "K"), test["tcId"]
        else:
            with pytest.raises((AgreementFailed, ValueError)):
                CRYPTOGRAPHY[kem].private(Secret(octets(test, "seed"))).decapsulate(octets(test, "c"))
    assert results["valid"] > 100
    assert results["invalid"] >= 40


def test_ml_kem_1024_makes_the_keys_of_fips_203() -> None:
    for _, test in cases("mlkem_1024_keygen_seed_test"):
        assert CRYPTOGRAPHY["ML-KEM-1024"].private(Secret(octets(test, "seed"))).public == octets(test, "ek")


def test_ml_kem_1024_refuses_every_malformed_public_key() -> None:
    """Valid keys encapsulate; the randomness of FIPS 203 stays inside, so their ciphertext is our own."""
    kem, results = CRYPTOGRAPHY["ML-KEM-1024"], Counter[str]()
    for _, test in cases("mlkem_1024_encaps_test"):
        results[test["result"]] += 1
        if test["result"] == "valid":
            ciphertext, shared = kem.encapsulate(octets(test, "ek"))
            assert (len(ciphertext), len(shared)) == (len(octets(test, "c")), len(octets(test, "K")))
        else:
            with pytest.raises(AgreementFailed):
                kem.encapsulate(octets(test, "ek"))
    assert results["invalid"] > 100


def test_ml_dsa_87_verifies_exactly_the_valid_signatures() -> None:
    for group, test in cases("mldsa_87_verify_test"):
        verified = verify_mldsa(
            ML_DSA_87,
            octets(group, "publicKey"),
            octets(test, "msg"),
            octets(test, "ctx"),
            octets(test, "sig"),
        )
        assert verified == (test["result"] == "valid"), (test["tcId"], test["comment"])


def test_ed25519_verifies_exactly_the_valid_signatures() -> None:
    for group, test in cases("ed25519_test"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        verified = verify_ed25519(public, octets(test, "msg"), octets(test, "sig"))
        assert verified == (test["result"] == "valid"), (test["tcId"], test["comment"])


def test_x25519_agrees_or_refuses_a_low_order_point() -> None:
    refused = 0
    for _, test in cases("x25519_test"):
        private = Secret(octets(test, "private"))
        if "ZeroSharedSecret" in test["flags"]:
            refused += 1
            with pytest.raises(AgreementFailed, match="low order"):
                x25519.KeyPair(private).exchange(octets(test, "public"))
        else:
            assert x25519.KeyPair(private).exchange(octets(test, "public")).reveal() == octets(test, "shared")
    assert refused > 20


def test_hkdf_sha_384_derives_the_expected_bytes() -> None:
    for _, test in cases("hkdf_sha384_test"):
        key = extract(octets(test, "salt"), octets(test, "ikm"))
        if test["result"] == "valid":
            assert expand(key, octets(test, "info"), test["size"]).reveal() == octets(test, "okm")
        else:
            with pytest.raises(ValueError, match="12240"):
                expand(key, octets(test, "info"), test["size"])


def test_aes_256_gcm_seals_and_opens_as_specified() -> None:
    """Of the file, what the box can express: 256-bit keys, 96-bit nonces, whole tags."""
    tried: Counter[str] = Counter()
    for group, test in cases("aes_gcm_test"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        tried[test["result"]] += 1
        material = Secret(octets(test, "key") + octets(test, "iv"))
        sealed, associated = octets(test, "ct") + octets(test, "tag"), octets(test, "aad")
        if test["result"] == "valid":
            assert Box(material).seal(octets(test, "msg"), associated) == sealed
            assert Box(material).open(sealed, associated) == octets(test, "msg")
        else:
            with pytest.raises(AgreementFailed):
                Box(material).open(sealed, associated)
    assert tried["valid"] > 20
    assert tried["invalid"] > 20
