"""The relay's certificate authority: made on first start, it vouches for key nodes, their SAEs and itself.

ETSI GS QKD 014 clause 5 wants mutual TLS with the SAE ID in the SAE's certificate and the KME ID in the
KME's. The ID is the common name, and a URI in the subject alternative name. An SAE's private key never
leaves its phone: the authority signs a request (RFC 2986) whose own signature proves possession, and
chooses the name itself.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.errors import Refused, StorageError

AUTHORITY_DAYS = 3650
LEAF_DAYS = 397
BACKDATED = datetime.timedelta(minutes=5)
"""For clocks that are not quite right."""


class Authority:
    """An opened certificate authority. Safe to open from several processes at once."""

    def __init__(self, home: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._home = home
        self._key = key
        self._certificate = certificate
        self.ca_pem = certificate.public_bytes(serialization.Encoding.PEM)
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.fingerprint = hashlib.sha256(spki).digest()
        """SHA-256 of the subject public key info, 32 bytes: what an invite carries."""

    @classmethod
    def open_or_create(cls, home: Path) -> Authority:
        """The authority in ``home`` (files ``ca.key`` at mode 0600, ``ca.pem``, ``crl.pem``)."""
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One process makes it; another that starts at the same time waits and then finds it.
            with (home / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (home / "ca.pem").exists():
                    _create(home)
                key = serialization.load_pem_private_key((home / "ca.key").read_bytes(), None)
                certificate = x509.load_pem_x509_certificate((home / "ca.pem").read_bytes())
        except OSError as error:
            raise StorageError(f"cannot use the authority in {home}: {error.strerror}") from None
        except ValueError:
            raise StorageError(f"the authority in {home} is damaged; restore it, or remove it") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        authority = cls(home, key, certificate)
        if not authority.crl.exists():
            authority._write_crl([])
        return authority

    @property
    def crl(self) -> Path:
        """The file of the revocation list (RFC 5280, section 5)."""
        return self._home / "crl.pem"

    def issue_server(self, name: str, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """A fresh certificate and private key, both PEM, for a server called ``name`` on ``hosts``."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:qkd:kme:{name}")]
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(name, key.public_key(), names, usages), private_pem(key)

    def sign_sae_csr(self, csr_pem: bytes, sae_id: str) -> bytes:
        """The certificate, PEM, of the SAE ``sae_id`` for the key in ``csr_pem``. Raises ``Refused``."""
        try:
            request = x509.load_pem_x509_csr(csr_pem)
            key = request.public_key()
            valid = request.is_signature_valid
        except ValueError:
            raise Refused("the certificate request is malformed", code="bad-csr") from None
        if not valid or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
            raise Refused("the certificate request does not prove an EC key of 256 bits", code="bad-csr")
        uri = x509.UniformResourceIdentifier(f"urn:qkd:sae:{sae_id}")
        return self._issue(sae_id, key, [uri], [ExtendedKeyUsageOID.CLIENT_AUTH])

    def revoke(self, certificate_pem: bytes) -> None:
        """Put a certificate on the revocation list; key nodes read it at their next start or reload."""
        serial = x509.load_pem_x509_certificate(certificate_pem).serial_number
        listed = [entry.serial_number for entry in x509.load_pem_x509_crl(self.crl.read_bytes())]
        self._write_crl([*listed, serial])

    def server_context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        """TLS 1.3 for a server that accepts only certificates of this authority that are not revoked."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(self._home / "ca.pem")
        context.load_verify_locations(self.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _issue(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[x509.GeneralName],
        usages: Sequence[x509.ObjectIdentifier],
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + datetime.timedelta(days=LEAF_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        return builder.sign(self._key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)

    def _write_crl(self, serials: Sequence[int]) -> None:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + datetime.timedelta(days=AUTHORITY_DAYS))
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        write(self.crl, builder.sign(self._key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM))


def _create(home: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "qcall relay authority")])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    write(home / "ca.key", private_pem(key))
    write(home / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, PEM, not encrypted: the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write(path: Path, data: bytes) -> None:
    """Write ``data`` at mode 0600, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
