"""The relay's certificate authority: made on first start, it vouches for key nodes, their SAEs and itself.

An SAE's private key never leaves its phone: the authority signs a request (RFC 2986) whose own signature
proves possession, and chooses the name itself. What certificates and revocation list say is in
:mod:`relay.certificates`; what those see who rely on the authority, in :mod:`relay.trust`.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
from collections.abc import Sequence, Set
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from qcall.wire.revocation import RevocationList
from relay import certificates, trust
from relay.errors import Refused, StorageError
from relay.recurring import Recurring
from relay.storage import locked, write
from relay.trust import PEM, Trust, damaged

REPLACED_BEFORE = datetime.timedelta(days=200)
"""As ``relay.trust.RENEWED_BEFORE``, where another can be issued at once: what starts may run for long."""
RENEWAL_PAUSE = datetime.timedelta(minutes=1)
"""Between attempts to sign a list anew: everybody who logs in asks for it."""

log = logging.getLogger(__name__)


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
            with locked(home):
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
            with locked(self._home):
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
            with locked(directory):
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
            with locked(self._home):
                if (record := self.record_of(sae_id)).exists():
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
            self._revoke({_serial_in(self.record_of(sae_id))})
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
        listed, now = self.revocations(), trust.now()
        due = listed.ends - now.timestamp() < (listed.ends - listed.starts) / 2
        if due and now >= self._renewed_from:
            self._renewed_from = now + RENEWAL_PAUSE
            with self._renewal.turn():
                self._revoke(set())
        return self.revocations()

    def _revoke(self, serials: Set[int]) -> int:
        try:
            with locked(self._home):
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
            raise damaged(self._kme_record(kme_id)) from None
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
        made = certificates.leaf(self._certificate, self._key, name, key, names, usages, trust.now())
        return made.public_bytes(PEM)

    def _write_list(self, serials: Set[int]) -> None:
        """A new revocation list: what is on the one there is and ``serials``. The lock is the caller's.

        Its number (RFC 5280, section 5.2.3) is the time, so that a list written after the file came back
        from a backup is newer than every one that phones may hold.
        """
        now = trust.now()
        entries = certificates.entries_of(x509.load_pem_x509_crl(self.crl.read_bytes()), now)
        entries |= dict.fromkeys(serials, now)
        number = max(self.revocations().number + 1, int(now.timestamp()))
        made = certificates.revocation_list(self._certificate, self._key, number, entries, now)
        write(self.crl, made.public_bytes(PEM))


def trust_of_node(home: Path, directory: Path, kme_id: str, hosts: Sequence[str]) -> Trust:
    """The authority in ``home`` for the key node ``kme_id`` on ``hosts``; ``directory`` is for its files.

    Its private key is read only where the node has no certificate that will do, for one to be issued.
    """
    try:
        relied = Trust(home, x509.load_pem_x509_certificate((home / "ca.pem").read_bytes()))
    except (OSError, ValueError):
        return Authority.open_or_create(home)
    relied.revocations()  # without a list there is no telling which certificate will do
    try:
        relied.kme_files(directory, kme_id, hosts)
    except StorageError as lacking:
        if (home / "ca.key").exists():
            return Authority.open_or_create(home)
        raise StorageError(f"{lacking}, and {home / 'ca.key'} is not there") from None
    return relied


def _is_over(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < trust.now()


def serial_of(certificate_pem: bytes) -> int:
    """The serial number of a certificate."""
    return x509.load_pem_x509_certificate(certificate_pem).serial_number


def _serial_in(record: Path) -> int:
    try:
        return serial_of(record.read_bytes())
    except ValueError:
        raise damaged(record) from None


def _create(home: Path) -> None:
    """The certificate last: only with it there is an authority."""
    key = ec.generate_private_key(ec.SECP384R1())
    now = trust.now()
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
