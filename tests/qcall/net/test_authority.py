"""What a phone holds of its relay's authority: the newest revocation list, and no trust without one."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from qcall.errors import RelayRefused
from qcall.net.authority import KnownAuthority
from relay.pki import Authority, serial_of


@pytest.fixture
def relay(tmp_path: Path) -> Authority:
    return Authority.open_or_create(tmp_path / "ca")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "crl.pem"


def issued(relay: Authority, directory: Path) -> int:
    """The serial number of a key node."""
    return serial_of(relay.kme_files(directory, "kme-a", [])[0].read_bytes())


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that are signed now have ended yesterday."""
    monkeypatch.setattr("relay.certificates.BACKDATED", datetime.timedelta(days=10))
    monkeypatch.setattr("relay.certificates.LIST_DAYS", -1)


def test_a_key_node_that_is_revoked_is_not_to_be_trusted(relay: Authority, file: Path) -> None:
    serial = issued(relay, file.parent / "kme")
    known = KnownAuthority(relay.ca_pem, file)
    known.take(relay.crl.read_bytes())
    assert known.objection(serial) is None
    relay.revoke_kme("kme-a", file.parent / "kme")
    known.take(relay.crl.read_bytes())
    assert "revoked" in (known.objection(serial) or "")
    assert "revoked" in (KnownAuthority(relay.ca_pem, file).objection(serial) or ""), "it is kept"
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_a_list_no_key_node_is_trusted(relay: Authority, file: Path) -> None:
    for contents in (None, b"damaged"):
        if contents is not None:
            file.write_bytes(contents)
        assert "no revocation list" in (KnownAuthority(relay.ca_pem, file).objection(1) or "")


def test_an_older_list_does_not_take_the_place_of_a_newer_one(relay: Authority, file: Path) -> None:
    serial, before = issued(relay, file.parent / "kme"), relay.crl.read_bytes()
    relay.revoke_kme("kme-a", file.parent / "kme")
    known = KnownAuthority(relay.ca_pem, file)
    for brought in (relay.crl.read_bytes(), before):
        known.take(brought)
        assert "revoked" in (known.objection(serial) or "")


def test_a_list_of_another_authority_is_refused_and_changes_nothing(relay: Authority, file: Path) -> None:
    known = KnownAuthority(relay.ca_pem, file)
    known.take(relay.crl.read_bytes())
    other = Authority.open_or_create(file.parent / "other")
    with pytest.raises(RelayRefused, match="not to be believed") as refused:
        known.take(other.crl.read_bytes())
    assert refused.value.code == "qkd-untrusted"
    assert known.objection(1) is None


def test_a_list_that_has_ended_is_refused_and_no_longer_held_to(
    relay: Authority, file: Path, request: pytest.FixtureRequest
) -> None:
    known = KnownAuthority(relay.ca_pem, file)
    good = relay.crl.read_bytes()
    request.getfixturevalue("past")
    relay._revoke(set())
    with pytest.raises(RelayRefused, match="compare the clocks"):
        known.take(relay.crl.read_bytes())
    file.write_bytes(relay.crl.read_bytes())
    ended = KnownAuthority(relay.ca_pem, file)
    assert "no revocation list that counts now" in (ended.objection(1) or "")
    ended.take(good)  # of a lower number, but it counts
    assert ended.objection(1) is None
