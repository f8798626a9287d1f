"""The relay's certificate authority: made on first start, it vouches for key nodes, their SAEs and itself.

ETSI GS QKD 014 clause 5 wants mutual TLS with the SAE ID in the SAE's certificate and the KME ID in the
KME's. The ID is the common name, and a URI in the subject alternative name; an SAE's certificate also names
the key node that serves it. An SAE's private key never leaves its phone: the authority signs a request
(RFC 2986) whose own signature proves possession, and chooses the name itself. Elliptic curves, because TLS
libraries of other vendors' SAEs know them; the post-quantum protection of a key is ``qcall_seal``.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import functools
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.errors import Refused, StorageError

AUTHORITY_DAYS = 3650
LEAF_DAYS = 397
RENEWED_BEFORE = datetime.timedelta(days=30)
"""How long before its end a key node's certificate is replaced when the node starts."""
KME_URN = "urn:qkd:kme:"
HOMES_CACHED = 65_536
BACKDATED = datetime.timedelta(minutes=5)
"""For clocks that are not quite right."""


class Trust:
    """A certificate authority as those see it who rely on it, without its private key.

    Key nodes that are processes of their own need no more, once somebody has given them their certificates.
    """

    def __init__(self, home: Path, certificate: x509.Certificate) -> None:
        self._home = home
        self._crl = str(home / "crl.pem")
        self._certificate = certificate
        self._revoked: tuple[tuple[int, ...], frozenset[int]] = ((), frozenset())
        self._homes: dict[str, tuple[str, tuple[int, int], int, str]] = {}
        self.ca_pem = certificate.public_bytes(serialization.Encoding.PEM)
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.fingerprint = hashlib.sha256(spki).digest()
        """SHA-256 of the subject public key info, 32 bytes: what an invite carries."""

    @classmethod
    def of_node(cls, home: Path, directory: Path, kme_id: str, hosts: Sequence[str]) -> Trust:
        """The authority in ``home`` for the key node ``kme_id`` on ``hosts``; ``directory`` is for its files.

        Its private key is read only where the node has no certificate that will do, for one to be issued.
        """
        with contextlib.suppress(OSError, ValueError, StorageError):
            trust = cls(home, x509.load_pem_x509_certificate((home / "ca.pem").read_bytes()))
            trust.kme_files(directory, kme_id, hosts)
            return trust
        return Authority.open_or_create(home)

    def kme_files(self, directory: Path, kme_id: str, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Files of the certificate and key for ``kme_id`` that ``directory`` holds.

        Raises :class:`StorageError` where there are none, or they are for others, revoked or too old.
        """
        files = directory / "kme.pem", directory / "kme.key"
        try:
            certificate = x509.load_pem_x509_certificate(files[0].read_bytes())
            key = serialization.load_pem_private_key(files[1].read_bytes(), None)
            certificate.verify_directly_issued_by(self._certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            fits = key.public_key() == certificate.public_key() and set(names) >= set(_names(kme_id, hosts))
        except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            fits = False
        if not fits or _ends_soon(certificate) or certificate.serial_number in self.revoked():
            lacking = f"{directory} has no valid certificate for {kme_id}; its authority has to issue one"
            raise StorageError(lacking)
        return files

    @property
    def crl(self) -> Path:
        """The file of the revocation list (RFC 5280, section 5)."""
        return Path(self._crl)

    def revoked(self) -> frozenset[int]:
        """Serial numbers on the revocation list as it is on disk now, whichever process wrote it."""
        stat = os.stat(self._crl)
        changed = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if changed != self._revoked[0]:
            entries = x509.load_pem_x509_crl(self.crl.read_bytes())
            self._revoked = changed, frozenset(entry.serial_number for entry in entries)
        return self._revoked[1]

    def home_of(self, sae_id: str) -> str | None:
        """The KME ID of the key node that serves ``sae_id``; None for an SAE never enrolled or revoked."""
        known = self._homes.get(sae_id)
        try:
            # Asked several times for every key: the file is read again only when it has changed.
            stat = os.stat(self._record(sae_id) if known is None else known[0])
            version = (stat.st_mtime_ns, stat.st_ino)
            if known is None or known[1] != version:
                record = self._record(sae_id)
                if len(self._homes) >= HOMES_CACHED:
                    self._homes.clear()
                known = self._homes[sae_id] = str(record), version, *_serial_and_home(record.read_bytes())
        except OSError:
            return None
        return None if known[2] in self.revoked() else known[3]

    def server_context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        """TLS 1.2 or later (ETSI GS QKD 014 clause 5) for a server that demands a certificate of ours.

        Revocation is not checked here, because a context reads its list once: see :meth:`revoked`.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(cadata=self.ca_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        """TLS 1.3 from one key node to another; the KME ID asked for is checked as a host name."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
        return context

    def _record(self, sae_id: str) -> Path:
        return self._home / "saes" / (hashlib.sha256(sae_id.encode()).hexdigest() + ".pem")


class Authority(Trust):
    """An opened certificate authority. Safe to open, and to write with, from several processes at once."""

    def __init__(self, home: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        super().__init__(home, certificate)
        self._key = key

    @classmethod
    def open_or_create(cls, home: Path) -> Authority:
        """The authority in ``home`` (``ca.key`` at mode 0600, ``ca.pem``, ``crl.pem``, ``saes/``)."""
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / "saes").mkdir(mode=0o700, exist_ok=True)
            # One process makes it; another that starts at the same time waits and then finds it.
            with _locked(home):
                if not (home / "ca.pem").exists():
                    _create(home)
                key = serialization.load_pem_private_key((home / "ca.key").read_bytes(), None)
                certificate = x509.load_pem_x509_certificate((home / "ca.pem").read_bytes())
                assert isinstance(key, ec.EllipticCurvePrivateKey)
                authority = cls(home, key, certificate)
                if not authority.crl.exists():
                    authority._write_crl(frozenset())
        except OSError as error:
            raise StorageError(f"cannot use the authority in {home}: {error.strerror}") from None
        except ValueError:
            raise StorageError(f"the authority in {home} is damaged; restore it, or remove it") from None
        return authority

    def issue_kme(self, kme_id: str, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """A fresh certificate and private key, both PEM, for the key node ``kme_id`` on ``hosts``.

        The KME ID is a DNS name of the certificate too: a client that asks TLS for that name is refused by
        a key node of another name, whatever its address.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(kme_id, key.public_key(), _names(kme_id, hosts), usages), private_pem(key)

    def kme_files(self, directory: Path, kme_id: str, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Files of a fresh certificate and key for ``kme_id``, mode 0600, in ``directory``."""
        certificate, key = self.issue_kme(kme_id, hosts)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(directory):
                write(directory / "kme.pem", certificate)
                write(directory / "kme.key", key)
        except OSError as error:
            raise StorageError(f"cannot write to {directory}: {error.strerror}") from None
        return directory / "kme.pem", directory / "kme.key"

    def sign_sae_csr(self, csr_pem: bytes, sae_id: str, kme_id: str) -> bytes:
        """The certificate, PEM, of the SAE ``sae_id``, served by ``kme_id``, for the key in ``csr_pem``.

        Its name is the authority's choice, whatever the request says. A certificate that the SAE had before
        is revoked. Raises :class:`Refused` for a request that is malformed or proves no possession.
        """
        try:
            request = x509.load_pem_x509_csr(csr_pem)
            key = request.public_key()
            valid = request.is_signature_valid
        except (ValueError, UnsupportedAlgorithm):
            raise Refused("the certificate request is malformed", code="bad-csr") from None
        if not valid or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
            raise Refused("the certificate request does not prove an EC key of 256 bits", code="bad-csr")
        names = [
            x509.UniformResourceIdentifier(f"urn:qkd:{kind}:{quote(name, safe='')}")
            for kind, name in (("sae", sae_id), ("kme", kme_id))
        ]
        certificate = self._issue(sae_id, key, names, [ExtendedKeyUsageOID.CLIENT_AUTH])
        try:
            with _locked(self._home):
                if (record := self._record(sae_id)).exists():
                    self._write_crl(self.revoked() | {_serial(record.read_bytes())})
                write(record, certificate)
        except OSError as error:
            raise StorageError(f"cannot record the certificate of {sae_id}: {error.strerror}") from None
        return certificate

    def revoke(self, certificate_pem: bytes) -> None:
        """Put a certificate on the revocation list; running key nodes refuse it from the next request on."""
        with _locked(self._home):
            self._write_crl(self.revoked() | {_serial(certificate_pem)})

    def revoke_sae(self, sae_id: str) -> None:
        """Revoke the certificate that ``sae_id`` has; raises :class:`Refused` when it has none."""
        try:
            self.revoke(self._record(sae_id).read_bytes())
        except FileNotFoundError:
            raise Refused(f"{sae_id} has no certificate to revoke", code="unknown-sae") from None

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

    def _write_crl(self, serials: Set[int]) -> None:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + datetime.timedelta(days=AUTHORITY_DAYS))
        )
        for serial in sorted(serials):
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        write(self.crl, builder.sign(self._key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Only one process at a time; the kernel releases the lock when a process dies."""
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def reached_at(*hosts: str) -> tuple[str, ...]:
    """Names of a key node that listens on ``hosts``, for its certificate."""
    return *dict.fromkeys(hosts), "localhost"


def _names(kme_id: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    """What a key node's certificate is for."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{KME_URN}{quote(kme_id, safe='')}")]
    for host in (kme_id, *hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _ends_soon(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC) < RENEWED_BEFORE


def _serial(certificate_pem: bytes) -> int:
    return x509.load_pem_x509_certificate(certificate_pem).serial_number


def _serial_and_home(certificate_pem: bytes) -> tuple[int, str]:
    """Of an SAE's certificate: serial number, and the KME ID that serves it."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    home = next(uri.removeprefix(KME_URN) for uri in uris if uri.startswith(KME_URN))
    return certificate.serial_number, unquote(home)


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


@functools.lru_cache(maxsize=4096)
def expiry(not_after: str) -> float:
    """Unix time of a certificate's end as OpenSSL writes it; servers read the same few with every request."""
    return float(ssl.cert_time_to_seconds(not_after))


def write(path: Path, data: bytes) -> None:
    """Write ``data`` at mode 0600, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
