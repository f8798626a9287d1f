"""The relay's certificate authority: made on first start, it vouches for key nodes, their SAEs and itself.

An SAE's private key never leaves its phone: the authority signs a request (RFC 2986) whose own signature
proves possession, and chooses the name itself. What certificates and revocation list say is in
:mod:`relay.certificates`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import logging
import os
import ssl
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from qcall.wire.revocation import BadRevocationList, RevocationList
from relay import certificates
from relay.errors import Refused, StorageError
from relay.recurring import Recurring

RENEWED_BEFORE = datetime.timedelta(days=30)
"""How long before its end a key node's certificate will do no more when the node starts."""
REPLACED_BEFORE = datetime.timedelta(days=200)
"""The same where the authority can issue another at once: what starts now may run for long."""
RENEWAL_PAUSE = datetime.timedelta(minutes=1)
"""Between attempts to sign a list anew: everybody who logs in asks for it."""
HOMES_CACHED = 65_536
PEM = serialization.Encoding.PEM

log = logging.getLogger(__name__)


class Trust:
    """A certificate authority as those see it who rely on it, without its private key.

    Key nodes that are processes of their own need no more, once somebody has given them their certificates.
    """

    _least = RENEWED_BEFORE

    def __init__(self, home: Path, certificate: x509.Certificate) -> None:
        self._home = home
        self._crl = str(home / "crl.pem")
        self._certificate = certificate
        self._listed: tuple[tuple[int, ...], RevocationList] | None = None
        self._homes: dict[str, tuple[str, tuple[int, int], int, str]] = {}
        self.ca_pem = certificate.public_bytes(PEM)
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
        try:
            trust = cls(home, x509.load_pem_x509_certificate((home / "ca.pem").read_bytes()))
        except (OSError, ValueError):
            return Authority.open_or_create(home)
        trust.revocations()  # without a list there is no telling which certificate will do
        try:
            trust.kme_files(directory, kme_id, hosts)
        except StorageError as lacking:
            if (home / "ca.key").exists():
                return Authority.open_or_create(home)
            raise StorageError(f"{lacking}, and {home / 'ca.key'} is not there") from None
        return trust

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
            fits = key.public_key() == certificate.public_key() and set(names) >= set(
                certificates.kme_names(kme_id, hosts)
            )
        except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            fits = False
        if not fits or _ends_within(certificate, self._least) or certificate.serial_number in self.revoked():
            lacking = f"{directory} has no valid certificate for {kme_id}; its authority has to issue one"
            raise StorageError(lacking)
        return files

    @property
    def crl(self) -> Path:
        """The file of the revocation list (RFC 5280, section 5)."""
        return Path(self._crl)

    def revoked(self) -> frozenset[int]:
        """Serial numbers on the revocation list as it is on disk now. Raises :class:`StorageError`."""
        return self.revocations().serials

    def revocations(self) -> RevocationList:
        """The revocation list as it is on disk now, whichever process wrote it.

        It is the authority's own file and not a copy that somebody passed on, so its end is no objection to
        it. Raises :class:`StorageError` when it cannot be read, or is not the authority's.
        """
        try:
            stat = os.stat(self._crl)
            changed = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if self._listed is None or self._listed[0] != changed:
                self._listed = changed, RevocationList.parse(self.crl.read_bytes(), self.ca_pem)
        except OSError as error:
            raise StorageError(f"cannot read {self._crl}: {error.strerror}; restore it") from None
        except BadRevocationList as error:
            raise StorageError(f"cannot use {self._crl}: {error}; restore it") from None
        return self._listed[1]

    def home_of(self, sae_id: str) -> str | None:
        """The KME ID of the key node that serves ``sae_id``; None for an SAE never enrolled or revoked.

        Raises :class:`StorageError` where the record of it is damaged.
        """
        known = self._homes.get(sae_id)
        try:
            # Asked several times for every key: the file is read again only when it has changed.
            stat = os.stat(self._record(sae_id) if known is None else known[0])
            version = (stat.st_mtime_ns, stat.st_ino)
            if known is None or known[1] != version:
                record = self._record(sae_id)
                if len(self._homes) >= HOMES_CACHED:
                    self._homes.clear()
                known = self._homes[sae_id] = (
                    str(record),
                    version,
                    *certificates.serial_and_home(record.read_bytes()),
                )
        except OSError:
            return None
        except (ValueError, x509.ExtensionNotFound, StopIteration):
            raise _damaged(self._record(sae_id)) from None
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

    _least = REPLACED_BEFORE

    def __init__(self, home: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        super().__init__(home, certificate)
        self._key = key
        self._renewal = Recurring("signing the revocation list anew", log)
        self._renewed_from = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    @classmethod
    def open_or_create(cls, home: Path) -> Authority:
        """The authority in ``home`` (``ca.key`` at mode 0600, ``ca.pem``, ``crl.pem``, ``saes/``, ``kmes/``).

        A revocation list that is lost or damaged is an error: a fresh one would take back every revocation.
        """
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for records in ("saes", "kmes"):
                (home / records).mkdir(mode=0o700, exist_ok=True)
            # One process makes it; another that starts at the same time waits and then finds it.
            with _locked(home):
                if not (home / "ca.pem").exists():
                    _create(home)
                key = serialization.load_pem_private_key((home / "ca.key").read_bytes(), None)
                certificate = x509.load_pem_x509_certificate((home / "ca.pem").read_bytes())
                assert isinstance(key, ec.EllipticCurvePrivateKey)
                authority = cls(home, key, certificate)
                if authority.revocations().number == 0:  # from before lists had one
                    authority._write_list(frozenset())
        except OSError as error:
            file = error.filename or home
            raise StorageError(f"cannot use the authority in {home}: {file}: {error.strerror}") from None
        except ValueError:
            raise StorageError(f"the authority in {home} is damaged; restore it, or remove it") from None
        return authority

    def issue_kme(self, kme_id: str, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """A fresh certificate and private key, both PEM, for the key node ``kme_id`` on ``hosts``.

        The KME ID is a DNS name of the certificate too: a client that asks TLS for that name is refused by
        a key node of another name, whatever its address. The authority keeps a record of what it issued.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = certificates.kme_names(kme_id, hosts)
        made = self._issue(kme_id, key.public_key(), names, usages)
        try:
            with _locked(self._home):
                issued = [each.public_bytes(PEM) for each in self._issued(kme_id) if not _is_over(each)]
                write(self._kme_record(kme_id), b"".join([*issued, made]))
        except OSError as error:
            raise StorageError(f"cannot record the certificate of {kme_id}: {error.strerror}") from None
        return made, private_pem(key)

    def kme_files(self, directory: Path, kme_id: str, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Files of a certificate and key for ``kme_id``, mode 0600, in ``directory``; fresh where need be."""
        with contextlib.suppress(StorageError):
            return super().kme_files(directory, kme_id, hosts)
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
        names = certificates.sae_names(sae_id, kme_id)
        certificate = self._issue(sae_id, key, names, [ExtendedKeyUsageOID.CLIENT_AUTH])
        try:
            with _locked(self._home):
                if (record := self._record(sae_id)).exists():
                    self._write_list({_serial_in(record)})
                write(record, certificate)
        except OSError as error:
            raise StorageError(f"cannot record the certificate of {sae_id}: {error.strerror}") from None
        return certificate

    def revoke(self, certificate_pem: bytes) -> None:
        """Put a certificate on the revocation list; running key nodes refuse it from the next request on."""
        self._revoke({serial_of(certificate_pem)})

    def revoke_sae(self, sae_id: str) -> None:
        """Revoke the certificate that ``sae_id`` has; raises :class:`Refused` when it has none."""
        try:
            self._revoke({_serial_in(self._record(sae_id))})
        except FileNotFoundError:
            raise Refused(f"{sae_id} has no certificate to revoke", code="unknown-sae") from None

    def revoke_kme(self, kme_id: str, directory: Path) -> int:
        """Revoke every certificate that ``kme_id`` was issued, and the one in ``directory``.

        How many of them were good until now. A key that was copied off the node last month opens as many
        doors as the one it has now. Raises :class:`Refused` when it was issued none, and
        :class:`StorageError` when the record of them is damaged, once the one in ``directory`` is revoked.
        """
        damaged: StorageError | None = None
        issued: set[int] = set()
        try:
            issued |= {each.serial_number for each in self._issued(kme_id)}
        except StorageError as error:
            damaged = error
        with contextlib.suppress(OSError, ValueError):  # from before the authority kept a record
            issued.add(serial_of((directory / "kme.pem").read_bytes()))
        if damaged is not None:
            done = "the certificate that it has now is revoked" if issued else "nothing is revoked"
            if issued:
                self._revoke(issued)
            raise StorageError(f"{done}; of those before nobody can tell: {damaged}")
        if not issued:
            raise Refused(f"{kme_id} has no certificate to revoke", code="unknown-kme")
        return self._revoke(issued)

    def fresh_revocations(self) -> RevocationList:
        """The revocation list to give to others: signed anew when half of its time is over.

        Where that fails, the one there is counts for a while yet; the log says so, once.
        """
        listed, now = self.revocations(), _now()
        due = listed.ends - now.timestamp() < (listed.ends - listed.starts) / 2
        if due and now >= self._renewed_from:
            self._renewed_from = now + RENEWAL_PAUSE
            with self._renewal.turn():
                self._revoke(set())
        return self.revocations()

    def _revoke(self, serials: Set[int]) -> int:
        try:
            with _locked(self._home):
                fresh = serials - self.revoked()
                self._write_list(fresh)
        except OSError as error:
            raise StorageError(f"cannot write {self._crl}: {error.strerror}; nothing is revoked") from None
        return len(fresh)

    def _issued(self, kme_id: str) -> list[x509.Certificate]:
        """The certificates that ``kme_id`` was issued, without those that expired before the last of them."""
        try:
            return x509.load_pem_x509_certificates(self._kme_record(kme_id).read_bytes())
        except FileNotFoundError:
            return []
        except ValueError:
            raise _damaged(self._kme_record(kme_id)) from None
        except OSError as error:
            raise StorageError(f"cannot read {self._kme_record(kme_id)}: {error.strerror}") from None

    def _kme_record(self, kme_id: str) -> Path:
        return self._home / "kmes" / (hashlib.sha256(kme_id.encode()).hexdigest() + ".pem")

    def _issue(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[x509.GeneralName],
        usages: Sequence[x509.ObjectIdentifier],
    ) -> bytes:
        made = certificates.leaf(self._certificate, self._key, name, key, names, usages, _now())
        return made.public_bytes(PEM)

    def _write_list(self, serials: Set[int]) -> None:
        """A new revocation list: what is on the one there is and ``serials``. The lock is the caller's.

        Its number (RFC 5280, section 5.2.3) is the time, so that a list written after the file came back
        from a backup is newer than every one that phones may hold.
        """
        now = _now()
        entries = certificates.entries_of(x509.load_pem_x509_crl(self.crl.read_bytes()), now)
        entries |= dict.fromkeys(serials, now)
        number = max(self.revocations().number + 1, int(now.timestamp()))
        made = certificates.revocation_list(self._certificate, self._key, number, entries, now)
        write(self.crl, made.public_bytes(PEM))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Only one process at a time; the kernel releases the lock when a process dies."""
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def reached_at(*hosts: str) -> tuple[str, ...]:
    """Names of a key node that listens on ``hosts``, for its certificate."""
    return *dict.fromkeys(hosts), "localhost"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _ends_within(certificate: x509.Certificate, time: datetime.timedelta) -> bool:
    return certificate.not_valid_after_utc - _now() < time


def _is_over(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < _now()


def serial_of(certificate_pem: bytes) -> int:
    """The serial number of a certificate."""
    return x509.load_pem_x509_certificate(certificate_pem).serial_number


def _serial_in(record: Path) -> int:
    try:
        return serial_of(record.read_bytes())
    except ValueError:
        raise _damaged(record) from None


def _damaged(record: Path) -> StorageError:
    return StorageError(f"{record} is damaged: it is no certificate; restore it from a backup")


def _create(home: Path) -> None:
    """The certificate last: only with it there is an authority."""
    key = ec.generate_private_key(ec.SECP384R1())
    now = _now()
    certificate = certificates.authority(key, now)
    write(home / "ca.key", private_pem(key))
    write(
        home / "crl.pem",
        certificates.revocation_list(certificate, key, int(now.timestamp()), {}, now).public_bytes(PEM),
    )
    write(home / "ca.pem", certificate.public_bytes(PEM))


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
