"""The revocation list of the relay's authority (RFC 5280, section 5): what a relying party believes of it.

Servers look up who calls them, phones and key nodes whom they call. A list is believed when the authority
signed it, whoever brought it; its number (section 5.2.3) tells a newer one from an older, so that nobody can
bring back a list of before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec


class BadRevocationList(ValueError):
    """Not a revocation list of this authority."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list whose signature is right. Times are in unix seconds."""

    number: int
    """Rises with every list; 0 in one without."""
    starts: float
    ends: float
    """When the authority will have issued another (``nextUpdate``)."""
    serials: frozenset[int]
    pem: bytes

    @classmethod
    def parse(cls, pem: bytes, ca_pem: bytes) -> Self:
        """The list in ``pem`` if the authority with the certificate ``ca_pem`` issued it.

        Raises :class:`BadRevocationList`.
        """
        try:
            authority = x509.load_pem_x509_certificate(ca_pem)
            found, key = x509.load_pem_x509_crl(pem), authority.public_key()
            if not isinstance(key, ec.EllipticCurvePublicKey) or not found.is_signature_valid(key):
                raise BadRevocationList("the authority did not sign this revocation list")
            if found.issuer != authority.subject:
                raise BadRevocationList("this revocation list is another authority's")
            # One that we cannot understand may restrict what the list is about (section 5.2).
            if any(each.critical for each in found.extensions):
                raise BadRevocationList("this revocation list is not for all certificates")
            numbers = [each.value for each in found.extensions if isinstance(each.value, x509.CRLNumber)]
            ends = found.next_update_utc
            serials = frozenset(entry.serial_number for entry in found)
        except BadRevocationList:
            raise
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BadRevocationList("this is no revocation list") from None
        if ends is None:
            raise BadRevocationList("this revocation list does not say when it ends")
        number = numbers[0].crl_number if numbers else 0
        return cls(number, found.last_update_utc.timestamp(), ends.timestamp(), serials, pem)

    def is_current(self, now: float) -> bool:
        """Whether it counts at ``now``."""
        return self.starts <= now < self.ends
