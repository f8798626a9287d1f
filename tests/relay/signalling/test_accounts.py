"""Accounts and invites in a real database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcall.wire.invite import Invite
from relay.errors import Refused, StorageError, UsageError
from relay.signalling.accounts import INVITE_LIFETIME, Accounts
from relay.signalling.identity import PublicKeys

NOW = 1_800_000_000.0
FINGERPRINT = bytes(range(32))
ALICE = PublicKeys(b"A" * 32, b"a" * 2592)
THIEF = PublicKeys(b"T" * 32, b"t" * 2592)


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    with Accounts(tmp_path / "accounts.db", FINGERPRINT) as opened:
        yield opened


def enrol(
    accounts: Accounts, code: str, name: str = "alice", keys: PublicKeys = ALICE, now: float = NOW
) -> str:
    account, certificate = accounts.enrol(
        code, name, keys, now, certify=lambda site: f"certificate at {site}"
    )
    assert account == accounts.find(name)
    return certificate


def refusal(
    accounts: Accounts, code: str, name: str = "alice", keys: PublicKeys = THIEF, now: float = NOW
) -> str:
    with pytest.raises(Refused) as refused:
        enrol(accounts, code, name, keys, now)
    return refused.value.code


def test_an_invite_lets_one_phone_in(accounts: Accounts) -> None:
    assert enrol(accounts, accounts.invite("alice", "beijing", NOW)) == "certificate at beijing"
    account = accounts.find("alice")
    assert account is not None
    assert (account.site, account.keys) == ("beijing", ALICE)
    assert accounts.names() == [("alice", "beijing")]


def test_an_invite_names_the_relay(accounts: Accounts) -> None:
    invite = Invite.parse(accounts.invite("alice", "beijing", NOW))
    assert invite.names(FINGERPRINT)
    assert not invite.names(bytes(32))


def test_an_invite_works_once(accounts: Accounts) -> None:
    code = accounts.invite("alice", "beijing", NOW)
    enrol(accounts, code)
    assert refusal(accounts, code) == "invite"


def test_the_same_phone_may_ask_again_when_the_answer_got_lost(accounts: Accounts) -> None:
    code = accounts.invite("alice", "beijing", NOW)
    assert enrol(accounts, code) == enrol(accounts, code)
    half = PublicKeys(ALICE.ed25519, THIEF.mldsa)
    assert refusal(accounts, code, keys=half) == "invite"


def test_an_invite_ends(accounts: Accounts) -> None:
    code = accounts.invite("alice", "beijing", NOW)
    assert refusal(accounts, code, now=NOW + INVITE_LIFETIME) == "invite"
    enrol(accounts, code, now=NOW + INVITE_LIFETIME - 1)


def test_an_invite_is_for_one_name(accounts: Accounts) -> None:
    code = accounts.invite("alice", "beijing", NOW)
    assert refusal(accounts, code, name="mallory") == "invite"
    enrol(accounts, code)


@pytest.mark.parametrize("code", ["", "0000-0000-0000-0000", "hello", "\N{SNOWMAN}" * 32, "0" * 10_000])
def test_what_is_no_invite(accounts: Accounts, code: str) -> None:
    assert refusal(accounts, code) == "invite"


def test_only_who_holds_an_invite_hears_that_the_name_is_taken(accounts: Accounts) -> None:
    first, second = (accounts.invite("alice", "beijing", NOW) for _ in range(2))
    enrol(accounts, first)
    assert refusal(accounts, second) == "name-taken"
    with pytest.raises(UsageError, match="enrolled already; choose another name, or --renew"):
        accounts.invite("alice", "beijing", NOW)


def test_a_lost_phone_is_replaced_and_loses_its_account_at_once(accounts: Accounts) -> None:
    first = accounts.invite("alice", "beijing", NOW)
    enrol(accounts, first)
    second = accounts.invite("alice", "hefei", NOW, renew=True)
    assert accounts.find("alice") is None
    assert refusal(accounts, first, keys=ALICE) == "invite"
    assert enrol(accounts, second, keys=THIEF) == "certificate at hefei"


def test_who_is_removed_is_let_in_by_a_new_invite_alone(accounts: Accounts) -> None:
    first = accounts.invite("alice", "beijing", NOW)
    enrol(accounts, first)
    assert (accounts.remove("alice"), accounts.remove("alice")) == (True, False)
    assert accounts.find("alice") is None
    assert refusal(accounts, first, keys=ALICE) == "invite"
    assert enrol(accounts, accounts.invite("alice", "hefei", NOW), keys=THIEF) == "certificate at hefei"


def test_an_invite_survives_a_certificate_that_could_not_be_made(accounts: Accounts) -> None:
    code = accounts.invite("alice", "beijing", NOW)

    def fail(site: str) -> str:
        raise Refused("the certificate request is malformed", code="bad-csr")

    with pytest.raises(Refused, match="malformed"):
        accounts.enrol(code, "alice", ALICE, NOW, certify=fail)
    assert accounts.find("alice") is None
    enrol(accounts, code, keys=THIEF)


@pytest.mark.parametrize(
    "name", ["", "Alice", "a" * 33, "-a", "a/b", "al ice", "alice\n", "'; DROP TABLE users"]
)
def test_names_that_cannot_be(accounts: Accounts, name: str) -> None:
    with pytest.raises(UsageError, match="user name"):
        accounts.invite(name, "beijing", NOW)


def test_invites_are_not_stored(accounts: Accounts, tmp_path: Path) -> None:
    code = accounts.invite("alice", "beijing", NOW)
    secret = Invite.parse(code).secret
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert Invite.parse(code).digest("alice") in stored
    assert code.encode() not in stored
    assert not any(
        secret.to_bytes(length, order) in stored for length in (9, 10) for order in ("big", "little")
    )


def test_accounts_are_private_and_outlive_the_relay(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    with Accounts(path, FINGERPRINT) as accounts, Accounts(path, FINGERPRINT) as operator:
        code = operator.invite("alice", "beijing", NOW)
        enrol(accounts, code)
        assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {"0o600"}
    with Accounts(path, FINGERPRINT) as accounts:
        assert accounts.find("alice") is not None
        assert refusal(accounts, code) == "invite"


def test_a_home_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot open .* No such file"):
        Accounts(tmp_path / "missing" / "accounts.db", FINGERPRINT)
    damaged = tmp_path / "accounts.db"
    damaged.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"accounts\.db"):
        Accounts(damaged, FINGERPRINT)


def test_a_database_of_a_newer_relay_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="version 99"):
        Accounts(path, FINGERPRINT)
