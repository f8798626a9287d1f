"""Invite codes: what people type, what a slip does, what the fingerprint is worth."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from qcall.wire.invite import ALPHABET, GROUP, GROUPS, SECRET_LENGTH, BadInvite, Invite, spki_hash

entropies = st.binary(min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)
spki_hashes = st.binary(min_size=32, max_size=32)
invites = st.builds(Invite.create, entropies, spki_hashes)


@given(invites)
def test_a_code_reads_back(invite: Invite) -> None:
    assert Invite.parse(str(invite)) == invite


@given(invites)
def test_a_code_is_eight_groups_of_four(invite: Invite) -> None:
    groups = str(invite).split("-")
    assert [len(group) for group in groups] == [GROUP] * GROUPS
    assert set("".join(groups)) <= set(ALPHABET)


@given(invites)
def test_people_may_type_it_their_way(invite: Invite) -> None:
    code = str(invite)
    sloppy = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert Invite.parse(f" {sloppy} ") == invite


def test_slips_of_the_finger_are_noticed() -> None:
    code = str(Invite.create(bytes(range(SECRET_LENGTH)), bytes(range(32))))
    noticed = total = 0
    for place, right in enumerate(code):
        for wrong in ALPHABET:
            if right == "-" or wrong == right:
                continue
            total += 1
            try:
                Invite.parse(code[:place] + wrong + code[place + 1 :])
            except BadInvite:
                noticed += 1
    assert total == GROUPS * GROUP * (len(ALPHABET) - 1)
    assert noticed / total > 0.99  # 10 bits of checksum miss one in 1,024


@pytest.mark.parametrize("code", ["", "ABCD-EFGH", "0000-0000-0000-0000", "U" * 32, "é" * 32, "0" * 33])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(BadInvite):
        Invite.parse(code)


@given(st.text(max_size=64))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(BadInvite):
        Invite.parse(text)


@given(invites, spki_hashes)
def test_it_names_one_authority(invite: Invite, other: bytes) -> None:
    same = int.from_bytes(other[:10]) == invite.fingerprint
    assert invite.names(other) is same
    assert invite.names(invite.fingerprint.to_bytes(10) + other[10:])


@given(entropies, entropies)
def test_every_secret_has_its_own_digest(one: bytes, other: bytes) -> None:
    first, second = (Invite.create(entropy, bytes(32)) for entropy in (one, other))
    assert (first.digest("alice") == second.digest("alice")) is (first.secret == second.secret)
    assert first.digest("alice") != first.digest("bob")


def test_its_repr_keeps_the_secret() -> None:
    invite = Invite.create(b"\xff" * SECRET_LENGTH, bytes(32))
    assert str(invite.secret) not in repr(invite)


def test_too_little_entropy_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="random bytes"):
        Invite.create(b"short", bytes(32))


def test_the_fingerprint_is_of_the_key_and_not_of_the_certificate() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])

    def certificate(serial: int) -> bytes:
        builder = x509.CertificateBuilder(name, name, key.public_key(), serial)
        builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        builder = builder.not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.PEM)

    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki_hash(certificate(1)) == spki_hash(certificate(2)) == hashlib.sha256(der).digest()


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_pem_that_is_none_is_a_value_error(pem: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the library's
        spki_hash(pem)
