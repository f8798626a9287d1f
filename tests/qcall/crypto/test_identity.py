"""Both signatures or none; roles that cannot be mistaken; one fingerprint under every suite."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from qcall.crypto.identity import ML_DSA_65, ML_DSA_87, Fingerprint, Identity, Role, Signature
from qcall.crypto.identity_file import LONGEST, MAGIC, dump, load, needs_passphrase
from qcall.errors import StorageError, UsageError

MESSAGE = b"transcript"
SCHEMES = [ML_DSA_87, ML_DSA_65]


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.create(random.Random(1).randbytes)


@pytest.fixture(scope="module")
def other() -> Identity:
    return Identity.create(random.Random(2).randbytes)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_signature_verifies(identity: Identity, scheme: str) -> None:
    signature = identity.sign(Role.CALLER, MESSAGE, scheme)
    assert identity.public(scheme).verify(Role.CALLER, MESSAGE, signature)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_neither_half_is_enough(identity: Identity, other: Identity, scheme: str) -> None:
    good, bad = (who.sign(Role.CALLER, MESSAGE, scheme) for who in (identity, other))
    assert not identity.public(scheme).verify(Role.CALLER, MESSAGE, Signature(good.ed25519, bad.mldsa))
    assert not identity.public(scheme).verify(Role.CALLER, MESSAGE, Signature(bad.ed25519, good.mldsa))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CALLER])
def test_a_role_is_bound_by_each_half(identity: Identity, role: Role) -> None:
    as_caller, as_other = identity.sign(Role.CALLER, MESSAGE), identity.sign(role, MESSAGE)
    for mixed in (
        Signature(as_caller.ed25519, as_other.mldsa),
        Signature(as_other.ed25519, as_caller.mldsa),
        as_other,
    ):
        assert not identity.public().verify(Role.CALLER, MESSAGE, mixed)


def test_a_signature_is_for_one_message(identity: Identity) -> None:
    assert not identity.public().verify(Role.CALLER, b"other", identity.sign(Role.CALLER, MESSAGE))


def test_nonsense_keys_and_signatures_do_not_verify(identity: Identity) -> None:
    public, signature = identity.public(), identity.sign(Role.CALLER, MESSAGE)
    for key in (b"", bytes(32), bytes(31), b"\xff" * 32):
        assert not replace(public, ed25519=key).verify(Role.CALLER, MESSAGE, signature)
    for key in (b"", bytes(2592), public.mldsa[:-1]):
        assert not replace(public, mldsa=key).verify(Role.CALLER, MESSAGE, signature)
    for half in (b"", bytes(64), bytes(4627)):
        assert not public.verify(Role.CALLER, MESSAGE, replace(signature, ed25519=half))
        assert not public.verify(Role.CALLER, MESSAGE, replace(signature, mldsa=half))


def test_the_fingerprint_is_the_same_under_every_suite(identity: Identity) -> None:
    assert {identity.public(scheme).fingerprint for scheme in SCHEMES} == {identity.fingerprint}


@pytest.mark.parametrize("field", ["ed25519", "mldsa", "other"])
def test_the_fingerprint_covers_every_key(identity: Identity, other: Identity, field: str) -> None:
    changed = replace(identity.public(), **{field: getattr(other.public(), field)})
    assert changed.fingerprint != identity.fingerprint


def test_a_fingerprint_reads_as_eight_groups(identity: Identity) -> None:
    groups = str(identity.fingerprint).split(" ")
    assert [len(group) for group in groups] == [5] * 8
    with pytest.raises(ValueError, match="48"):
        Fingerprint(bytes(47))


def test_signatures_do_not_show_private_keys(identity: Identity) -> None:
    assert "<secret>" in repr(identity.seeds)
    assert repr(identity).startswith("<qcall.crypto.identity.Identity object")


@pytest.mark.parametrize("passphrase", [None, "Größe und Geduld"])
def test_a_file_gives_the_same_identity_back(identity: Identity, passphrase: str | None) -> None:
    data = dump(identity, passphrase, random.Random(3).randbytes)
    assert needs_passphrase(data) is (passphrase is not None)
    assert load(data, passphrase).fingerprint == identity.fingerprint


def test_a_protected_file_does_not_hold_the_seeds(identity: Identity) -> None:
    data = dump(identity, "x", random.Random(3).randbytes)
    assert all(seed.reveal() not in data for seed in identity.seeds)
    assert all(seed.reveal() in dump(identity, None, random.Random(3).randbytes) for seed in identity.seeds)


def test_a_passphrase_typed_on_another_keyboard_opens(identity: Identity) -> None:
    data = dump(identity, "o\N{COMBINING DIAERESIS}", random.Random(3).randbytes)
    assert load(data, "ö").fingerprint == identity.fingerprint


@pytest.mark.parametrize("passphrase", [None, "wrong", ""])
def test_a_wrong_passphrase_says_so(identity: Identity, passphrase: str | None) -> None:
    with pytest.raises(UsageError, match="passphrase") as caught:
        load(dump(identity, "right", random.Random(3).randbytes), passphrase)
    assert caught.value.code == "passphrase"


def test_an_empty_passphrase_is_refused(identity: Identity) -> None:
    with pytest.raises(UsageError, match="empty"):
        dump(identity, "", random.Random(3).randbytes)


def test_a_damaged_file_is_refused(identity: Identity) -> None:
    data = dump(identity, None, random.Random(3).randbytes)
    for damaged in (b"", b"x" * 200, MAGIC, MAGIC + b"\xc1", data[:-1], data + b"\0", data + bytes(LONGEST)):
        with pytest.raises(StorageError):
            load(damaged, None)
    with pytest.raises(StorageError, match="newer"):
        load(data.replace(b"identity 1", b"identity 2"), None)


def test_a_protected_file_is_bound_to_its_parameters(identity: Identity) -> None:
    data = dump(identity, "right", random.Random(3).randbytes)
    weaker = data.replace(b"\xa6passes\x03", b"\xa6passes\x01")
    assert weaker != data
    with pytest.raises(UsageError):
        load(weaker, "right")
