"""What a phone believes of its key node: only keys that were sealed to it, and only as what they are."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PrivateKey, Suite

from qcall.errors import RelayRefused
from qcall.net import kme
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode, QkdKey, sae_key_and_request
from qcall.wire import etsi014
from relay.pki import Authority

SUITE = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)
KEY = bytes(range(32))
SEALED = {"qcall_seal": {"kem": "MLKEM1024-P384", "kdf": "HKDF-SHA384", "aead": "AES-256-GCM"}}


@pytest.fixture
def phone(tmp_path: Path) -> KeyNode:
    authority = Authority.open_or_create(tmp_path / "ca")
    key, request = sae_key_and_request()
    (tmp_path / "k").write_bytes(key)
    (tmp_path / "c").write_bytes(authority.sign_sae_csr(request, "sae-alice", "kme-a"))
    return KeyNode(
        "https://127.0.0.1:1", kme_id="kme-a", certificate=tmp_path / "c", key=tmp_path / "k",
        authority=KnownAuthority(authority.ca_pem, authority.crl),
    )  # fmt: skip


Open = Callable[..., list[QkdKey]]


@pytest.fixture
def opened(phone: KeyNode) -> Open:
    """What the phone makes of a container with one key, sealed as told."""
    opener, _ = kme._one_time()

    def answer(
        key: bytes = KEY,
        *,
        info: bytes = etsi014.seal_info("kme-a", "sae-alice", "sae-bob", "id"),
        to: MLKEM1024P384PrivateKey = opener,
        said: dict[str, object] | None = SEALED,
        plain: bool = False,
        route: object = ("a", "b"),
    ) -> list[QkdKey]:
        inside = key if plain else SUITE.encrypt(key, to.public_key(), info)
        container = etsi014.KeyContainer(
            keys=(
                etsi014.Key(
                    key_id="id", key=base64.b64encode(inside).decode(), key_extension={"qcall_route": route}
                ),
            ),
            key_container_extension=said,
        )
        return phone._opened(etsi014.encode(container), opener, master="sae-alice", slave="sae-bob")

    return answer


def test_a_sealed_key_is_opened_with_its_path(opened: Open) -> None:
    [key] = opened()
    assert (key.key.reveal(), key.path) == (KEY, ("a", "b"))


def test_a_key_in_shares_names_its_first_path(opened: Open) -> None:
    assert opened(route=[["a", "x", "b"], ["a", "y", "b"]])[0].path == ("a", "x", "b")


@pytest.mark.parametrize("said", [None, {}, {"qcall_seal": {"kem": "X25519"}}])
def test_a_key_that_is_not_said_to_be_sealed_is_refused(opened: Open, said: dict[str, object] | None) -> None:
    with pytest.raises(RelayRefused, match="not sealed") as refused:
        opened(plain=True, said=said)
    assert refused.value.code == "qkd-malformed"


def test_a_plain_key_that_is_said_to_be_sealed_is_refused(opened: Open) -> None:
    with pytest.raises(RelayRefused, match="cannot unseal"):
        opened(plain=True)


@pytest.mark.parametrize(
    "bound", [("kme-b", "sae-alice", "sae-bob", "id"), ("kme-a", "sae-eve", "sae-bob", "id"),
              ("kme-a", "sae-alice", "sae-eve", "id"), ("kme-a", "sae-alice", "sae-bob", "other")],
)  # fmt: skip
def test_a_key_sealed_as_another_is_refused(opened: Open, bound: tuple[str, str, str, str]) -> None:
    with pytest.raises(RelayRefused, match="cannot unseal"):
        opened(info=etsi014.seal_info(*bound))


def test_a_key_sealed_to_another_request_is_refused(opened: Open) -> None:
    with pytest.raises(RelayRefused, match="cannot unseal"):
        opened(to=kme._one_time()[0])


def test_a_key_of_another_length_is_refused(opened: Open) -> None:
    with pytest.raises(RelayRefused, match="16 bytes instead of 32"):
        opened(bytes(16))


def test_no_two_requests_use_one_sealing_key() -> None:
    assert kme._one_time()[1] != kme._one_time()[1]


def test_a_key_never_prints(opened: Open) -> None:
    assert KEY.hex() not in repr(opened()[0])
    assert "<secret>" in repr(opened()[0])


def test_a_request_proves_its_key_and_names_nobody() -> None:
    _, request = sae_key_and_request()
    parsed = x509.load_pem_x509_csr(request)
    assert parsed.is_signature_valid
    assert list(parsed.subject) == []
