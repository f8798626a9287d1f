"""A certificate authority as those see it who rely on it: whom it vouches for, and whom no more.

Its private key is not needed for that, and is not here: :mod:`relay.pki` has it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from qcall.wire.revocation import BadRevocationList, RevocationList
from relay import certificates
from relay.errors import StorageError

RENEWED_BEFORE = datetime.timedelta(days=30)
"""How long before its end a key node's certificate will do no more when the node starts."""
HOMES_CACHED = 65_536
PEM = serialization.Encoding.PEM


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
            stat = os.stat(self.record_of(sae_id) if known is None else known[0])
            version = (stat.st_mtime_ns, stat.st_ino)
            if known is None or known[1] != version:
                record = self.record_of(sae_id)
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
            raise damaged(self.record_of(sae_id)) from None
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

    def record_of(self, sae_id: str) -> Path:
        """The file of the certificate that ``sae_id`` was issued last."""
        return self._home / "saes" / (hashlib.sha256(sae_id.encode()).hexdigest() + ".pem")


def reached_at(*hosts: str) -> tuple[str, ...]:
    """Names of a key node that listens on ``hosts``, for its certificate."""
    return *dict.fromkeys(hosts), "localhost"


def _ends_within(certificate: x509.Certificate, time: datetime.timedelta) -> bool:
    return certificate.not_valid_after_utc - now() < time


def damaged(record: Path) -> StorageError:
    """What to say of a file that should hold a certificate and does not."""
    return StorageError(f"{record} is damaged: it is no certificate; restore it from a backup")


def now() -> datetime.datetime:
    """The time as certificates have it."""
    return datetime.datetime.now(datetime.UTC)
