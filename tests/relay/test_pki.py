"""The certificate authority: made once, names whom it chooses, takes back what it gave."""

from __future__ import annotations

import concurrent.futures
import datetime
import errno
import ipaddress
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.certificates import LEAF_DAYS
from relay.errors import Refused, StorageError
from relay.pki import Authority, trust_of_node
from relay.trust import Trust

PEM = serialization.Encoding.PEM


def request(name: str = "root", curve: ec.EllipticCurve | None = None) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .sign(key, hashes.SHA256())
        .public_bytes(PEM)
    )


def fingerprint(home: str) -> bytes:
    return Authority.open_or_create(Path(home)).fingerprint


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open_or_create(tmp_path / "ca")


def test_an_authority_is_the_same_when_it_is_opened_again(authority: Authority, tmp_path: Path) -> None:
    assert Authority.open_or_create(tmp_path / "ca").ca_pem == authority.ca_pem


def test_private_keys_are_files_of_mode_0600(authority: Authority, tmp_path: Path) -> None:
    _, key = authority.kme_files(tmp_path / "kme", "kme-a", [])
    for path in (tmp_path / "ca" / "ca.key", key):
        assert path.stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_make_one_authority(tmp_path: Path) -> None:
    with concurrent.futures.ProcessPoolExecutor(4) as pool:
        made = set(pool.map(fingerprint, [str(tmp_path / "ca")] * 4))
    assert len(made) == 1


def test_an_sae_is_named_by_the_authority_and_not_by_its_request(authority: Authority) -> None:
    made = x509.load_pem_x509_certificate(authority.sign_sae_csr(request("kme-a"), "sae-alice", "kme-a"))
    assert [a.value for a in made.subject] == ["sae-alice"]
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "urn:qkd:sae:sae-alice",
        "urn:qkd:kme:kme-a",
    ]
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_request_without_proof_of_possession_is_refused(authority: Authority) -> None:
    der = bytearray(x509.load_pem_x509_csr(request()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    with pytest.raises(Refused, match="does not prove"):
        authority.sign_sae_csr(forged, "sae-alice", "kme-a")
    assert authority.home_of("sae-alice") is None


@pytest.mark.parametrize("junk", [b"", b"\xff", b"-----BEGIN CERTIFICATE REQUEST-----\n"])
def test_a_malformed_request_is_refused(authority: Authority, junk: bytes) -> None:
    with pytest.raises(Refused, match="malformed"):
        authority.sign_sae_csr(junk, "sae-alice", "kme-a")


def test_a_short_or_foreign_key_is_refused(authority: Authority) -> None:
    key = rsa.generate_private_key(65537, 2048)
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    for each in (asked.public_bytes(PEM), request(curve=ec.SECP192R1())):
        with pytest.raises(Refused):
            authority.sign_sae_csr(each, "sae-alice", "kme-a")


def test_a_key_node_answers_to_its_id_and_to_its_addresses(authority: Authority) -> None:
    made = x509.load_pem_x509_certificate(authority.issue_kme("kme-a", ["127.0.0.1", "localhost"])[0])
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kme-a", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]


HOSTS = ("127.0.0.1", "localhost")


def issued(authority: Authority, directory: Path) -> x509.Certificate:
    return issued_to("kme-a", authority, directory)


def issued_to(kme_id: str, authority: Authority, directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.kme_files(directory, kme_id, HOSTS)[0].read_bytes())


def test_a_key_node_with_a_certificate_needs_no_private_key_of_the_authority(
    authority: Authority, tmp_path: Path
) -> None:
    certificate = issued(authority, tmp_path / "kme")
    (tmp_path / "ca" / "ca.key").unlink()
    trust = trust_of_node(tmp_path / "ca", tmp_path / "kme", "kme-a", HOSTS)
    assert not isinstance(trust, Authority)
    files = trust.kme_files(tmp_path / "kme", "kme-a", HOSTS)
    assert x509.load_pem_x509_certificate(files[0].read_bytes()) == certificate
    assert trust.fingerprint == authority.fingerprint


@pytest.mark.parametrize("wrong", ["none", "name", "host", "key", "authority", "revoked", "old"])
def test_a_key_node_without_a_certificate_that_will_do_is_issued_one(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    directory, name, hosts = tmp_path / "kme", "kme-a", HOSTS
    if wrong == "old":
        monkeypatch.setattr("relay.certificates.LEAF_DAYS", 29)
    if wrong != "none":
        other = Authority.open_or_create(tmp_path / "other")
        before = issued(other if wrong == "authority" else authority, directory)
        monkeypatch.setattr("relay.certificates.LEAF_DAYS", LEAF_DAYS)
        if wrong == "revoked":
            authority.revoke(before.public_bytes(PEM))
        elif wrong == "key":
            (directory / "kme.key").write_bytes(authority.issue_kme("kme-a", HOSTS)[1])
        elif wrong == "name":
            name = "kme-b"
        elif wrong == "host":
            hosts = ("192.0.2.1", "localhost")
    with pytest.raises(StorageError, match=f"no valid certificate for {name}"):
        Trust.kme_files(authority, directory, name, hosts)
    trust = trust_of_node(tmp_path / "ca", directory, name, hosts)
    assert isinstance(trust, Authority)
    trust.kme_files(directory, name, hosts)
    assert not isinstance(trust_of_node(tmp_path / "ca", directory, name, hosts), Authority)


def test_a_key_node_whose_certificate_is_revoked_says_what_it_lacks_where_none_can_be_issued(
    authority: Authority, tmp_path: Path
) -> None:
    issued(authority, tmp_path / "kme")
    authority.revoke_kme("kme-a", tmp_path / "kme")
    (tmp_path / "ca" / "ca.key").unlink()
    with pytest.raises(StorageError, match=r"no valid certificate for kme-a; .*, and .*ca\.key is not there"):
        trust_of_node(tmp_path / "ca", tmp_path / "kme", "kme-a", HOSTS)


def test_the_home_of_an_sae_is_known_to_every_process_that_shares_the_authority(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority.open_or_create(tmp_path / "ca")
    assert other.home_of("sae-é/..") is None
    authority.sign_sae_csr(request(), "sae-é/..", "kme-a")
    assert other.home_of("sae-é/..") == "kme-a"


def test_a_revoked_sae_has_no_home_in_any_process(authority: Authority, tmp_path: Path) -> None:
    other = Authority.open_or_create(tmp_path / "ca")
    serial = x509.load_pem_x509_certificate(authority.sign_sae_csr(request(), "sae-a", "kme-a")).serial_number
    assert other.home_of("sae-a") == "kme-a"
    authority.revoke_sae("sae-a")
    assert other.home_of("sae-a") is None
    assert serial in other.revoked()


def test_enrolling_again_revokes_the_certificate_before(authority: Authority) -> None:
    first = x509.load_pem_x509_certificate(authority.sign_sae_csr(request(), "sae-a", "kme-a")).serial_number
    second = x509.load_pem_x509_certificate(authority.sign_sae_csr(request(), "sae-a", "kme-b")).serial_number
    assert authority.revoked() == {first}
    assert second not in authority.revoked()
    assert authority.home_of("sae-a") == "kme-b"


def test_the_revocation_list_is_signed_by_the_authority(authority: Authority) -> None:
    key = x509.load_pem_x509_certificate(authority.ca_pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert x509.load_pem_x509_crl(authority.crl.read_bytes()).is_signature_valid(key)


def test_every_list_has_a_higher_number_and_keeps_what_is_on_it(authority: Authority, tmp_path: Path) -> None:
    first = authority.revocations()
    for sae in ("sae-a", "sae-b"):
        authority.sign_sae_csr(request(), sae, "kme-a")
        Authority.open_or_create(tmp_path / "ca").revoke_sae(sae)
    last = authority.revocations()
    assert len(last.serials) == 2
    assert last.number >= first.number + 2


def test_a_list_written_after_a_backup_was_restored_is_newer_than_all_before(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = authority.crl.read_bytes()
    for kme in ("kme-a", "kme-b", "kme-c"):
        issued_to(kme, authority, tmp_path / kme)
        authority.revoke_kme(kme, tmp_path / kme)
    lost = authority.revocations().number
    authority.crl.write_bytes(backup)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=10)
    monkeypatch.setattr("relay.trust.now", lambda: later)
    issued_to("kme-d", authority, tmp_path / "kme-d")
    authority.revoke_kme("kme-d", tmp_path / "kme-d")
    assert authority.revocations().number > lost


def test_a_key_node_keeps_its_certificate_when_it_starts_again(authority: Authority, tmp_path: Path) -> None:
    assert issued(authority, tmp_path / "kme") == issued(authority, tmp_path / "kme")


def test_an_old_certificate_is_replaced_by_who_can_and_does_for_who_cannot(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.certificates.LEAF_DAYS", 100)
    old = issued(authority, tmp_path / "kme")
    trust = trust_of_node(tmp_path / "ca", tmp_path / "kme", "kme-a", HOSTS)
    assert not isinstance(trust, Authority)
    assert issued(authority, tmp_path / "kme") != old


def test_every_certificate_of_a_key_node_is_revoked_also_those_of_before(
    authority: Authority, tmp_path: Path
) -> None:
    directory = tmp_path / "kme"
    before = issued(authority, directory).serial_number
    (directory / "kme.key").unlink()
    latest = issued(authority, directory).serial_number
    other = issued_to("kme-b", authority, tmp_path / "kme-b").serial_number
    assert authority.revoke_kme("kme-a", directory) == 2
    assert authority.revoked() == {before, latest}
    assert other not in authority.revoked()
    assert authority.revoke_kme("kme-a", directory) == 0
    assert issued(authority, directory).serial_number not in authority.revoked()
    assert authority.revoke_kme("kme-a", directory) == 1


def test_a_certificate_of_which_there_is_no_record_is_revoked_where_it_lies(
    authority: Authority, tmp_path: Path
) -> None:
    serial = issued(authority, tmp_path / "kme").serial_number
    for record in (tmp_path / "ca" / "kmes").iterdir():
        record.unlink()
    assert authority.revoke_kme("kme-a", tmp_path / "kme") == 1
    assert authority.revoked() == {serial}


def test_a_key_node_that_was_never_issued_a_certificate_is_named(
    authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="kme-x has no certificate to revoke"):
        authority.revoke_kme("kme-x", tmp_path)


@pytest.mark.parametrize("damage", ["gone", "junk", "another's"])
def test_a_revocation_list_that_is_lost_is_not_taken_for_an_empty_one(
    authority: Authority, tmp_path: Path, damage: str
) -> None:
    authority.crl.unlink()
    if damage == "junk":
        authority.crl.write_bytes(b"junk")
    elif damage == "another's":
        authority.crl.write_bytes(Authority.open_or_create(tmp_path / "other").crl.read_bytes())
    for use in (authority.revoked, lambda: Authority.open_or_create(tmp_path / "ca")):
        with pytest.raises(StorageError, match=r"crl\.pem.*restore it"):
            use()


def test_the_list_for_phones_is_signed_anew_before_it_ends(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.sign_sae_csr(request(), "sae-a", "kme-a")
    authority.revoke_sae("sae-a")
    first = authority.fresh_revocations()
    assert authority.fresh_revocations() == first
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=20)
    monkeypatch.setattr("relay.trust.now", lambda: later)
    renewed = authority.fresh_revocations()
    assert renewed.serials == first.serials
    assert renewed.number > first.number
    assert renewed.ends > first.ends


def test_a_list_that_cannot_be_signed_anew_counts_on_and_is_told_of_once(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = authority.revocations()
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=20)
    monkeypatch.setattr("relay.trust.now", lambda: now)
    attempts = 0

    def full(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("relay.pki.write", full)
        for _ in range(3):
            assert authority.fresh_revocations() == first
        assert attempts == 1, "not for everybody who asks"
        now += datetime.timedelta(minutes=2)
        assert authority.fresh_revocations() == first
    assert attempts == 2
    now += datetime.timedelta(minutes=2)
    assert authority.fresh_revocations().number > first.number
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "No space left" in caplog.messages[0]


def test_a_damaged_record_of_a_key_node_is_named_and_what_it_has_now_is_revoked(
    authority: Authority, tmp_path: Path
) -> None:
    now = issued(authority, tmp_path / "kme").serial_number
    [record] = (tmp_path / "ca" / "kmes").iterdir()
    record.write_bytes(b"-----BEGIN CERTIFICATE-----\njunk")
    with pytest.raises(StorageError, match=f"now is revoked; of those before.*{record.name} is damaged"):
        authority.revoke_kme("kme-a", tmp_path / "kme")
    assert authority.revoked() == {now}
    with pytest.raises(StorageError, match=f"{record.name} is damaged"):
        authority.issue_kme("kme-a", [])


def test_a_damaged_record_of_an_sae_is_named(authority: Authority, tmp_path: Path) -> None:
    authority.sign_sae_csr(request(), "sae-a", "kme-a")
    [record] = (tmp_path / "ca" / "saes").iterdir()
    record.write_bytes(b"junk")
    uses: list[Callable[[str], object]] = [authority.home_of, authority.revoke_sae]
    uses.append(lambda sae: authority.sign_sae_csr(request(), sae, "kme-a"))
    for use in uses:
        with pytest.raises(StorageError, match=f"{record.name} is damaged"):
            use("sae-a")


def test_revoking_who_was_never_enrolled_says_so(authority: Authority) -> None:
    with pytest.raises(Refused, match="no certificate to revoke"):
        authority.revoke_sae("sae-nobody")


def test_a_damaged_authority_says_what_to_do(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca" / "ca.key").write_bytes(b"not a key")
    with pytest.raises(StorageError, match="damaged; restore it, or remove it"):
        Authority.open_or_create(tmp_path / "ca")


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot use the authority"):
        Authority.open_or_create(tmp_path / "file" / "ca")
