"""What the certificates and the revocation list of the relay's authority say (RFC 5280).

ETSI GS QKD 014 clause 5 wants mutual TLS with the SAE ID in the SAE's certificate and the KME ID in the
KME's. The ID is the common name, and a URI in the subject alternative name; an SAE's certificate also names
the key node that serves it. Elliptic curves, because TLS libraries of other vendors' SAEs know them; the
post-quantum protection of a key is ``qcall_seal``.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AUTHORITY_DAYS = 3650
LEAF_DAYS = 397
LIST_DAYS = 30
"""How long a revocation list counts: for so long a phone may be shown one from before a revocation."""
BACKDATED = datetime.timedelta(minutes=5)
"""For clocks that are not quite right."""
SAE_URN = "urn:qkd:sae:"
KME_URN = "urn:qkd:kme:"


def authority(key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
    """A certificate that signs itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "qcall relay authority")])
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
    return (
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


def leaf(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    name: str,
    key: ec.EllipticCurvePublicKey,
    names: Sequence[x509.GeneralName],
    usages: Sequence[x509.ObjectIdentifier],
    now: datetime.datetime,
) -> x509.Certificate:
    """A certificate for ``key``, of who is called ``name`` and ``names``."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_key_identifier(issuer_key), critical=False)
        .sign(issuer_key, hashes.SHA384())
    )


def revocation_list(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    number: int,
    entries: Mapping[int, datetime.datetime],
    now: datetime.datetime,
) -> x509.CertificateRevocationList:
    """The list with this number (RFC 5280, section 5.2.3), of serial numbers and when each was revoked."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - BACKDATED)
        .next_update(now + datetime.timedelta(days=LIST_DAYS))
        .add_extension(_key_identifier(issuer_key), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, date in sorted(entries.items()):
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(issuer_key, hashes.SHA384())


def entries_of(
    listed: x509.CertificateRevocationList, now: datetime.datetime
) -> dict[int, datetime.datetime]:
    """What of a list the next one has to repeat: a certificate that has expired by itself is left out."""
    longest = datetime.timedelta(days=LEAF_DAYS)
    return {
        entry.serial_number: entry.revocation_date_utc
        for entry in listed
        if now < entry.revocation_date_utc + longest
    }


def sae_names(sae_id: str, kme_id: str) -> list[x509.GeneralName]:
    """What an SAE's certificate is for: the SAE, served by the key node."""
    return [
        x509.UniformResourceIdentifier(f"{urn}{quote(name, safe='')}")
        for urn, name in ((SAE_URN, sae_id), (KME_URN, kme_id))
    ]


def kme_names(kme_id: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    """What a key node's certificate is for."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{KME_URN}{quote(kme_id, safe='')}")]
    for host in (kme_id, *hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def serial_and_home(sae_certificate: bytes) -> tuple[int, str]:
    """Of an SAE's certificate, PEM: serial number, and the KME ID that serves it."""
    certificate = x509.load_pem_x509_certificate(sae_certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    home = next(uri.removeprefix(KME_URN) for uri in uris if uri.startswith(KME_URN))
    return certificate.serial_number, unquote(home)


def _key_identifier(issuer_key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
