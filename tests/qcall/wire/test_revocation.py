"""What is believed of a revocation list: that the authority signed all of it, and until when."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from qcall.wire.revocation import BadRevocationList, RevocationList
from relay import certificates

KEY, OTHER_KEY = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
CA, OTHER = certificates.authority(KEY, NOW), certificates.authority(OTHER_KEY, NOW)
CA_PEM = CA.public_bytes(Encoding.PEM)


def listed(
    serials: tuple[int, ...] = (), number: int = 1, key: ec.EllipticCurvePrivateKey = KEY
) -> x509.CertificateRevocationList:
    return certificates.revocation_list(CA, key, number, dict.fromkeys(serials, NOW), NOW)


def pem(made: x509.CertificateRevocationList) -> bytes:
    return made.public_bytes(Encoding.PEM)


def test_a_list_says_whom_it_revokes_its_number_and_how_long_it_counts() -> None:
    made = RevocationList.parse(pem(listed((5, 7), number=3)), CA_PEM)
    assert (made.serials, made.number) == ({5, 7}, 3)
    day, now = 86_400.0, NOW.timestamp()
    times = {now - 600: False, now - 240: True, now: True, now + 29.9 * day: True, now + 30 * day: False}
    assert {time: made.is_current(time) for time in times} == times


def test_the_next_list_leaves_out_what_has_expired_by_itself() -> None:
    made = listed((5,))
    assert set(certificates.entries_of(made, NOW + datetime.timedelta(days=396))) == {5}
    assert not certificates.entries_of(made, NOW + datetime.timedelta(days=398))


def signed_by_another() -> bytes:
    return pem(listed((5,), key=OTHER_KEY))


def of_another_authority() -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another")])
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    return pem(builder.last_update(NOW).next_update(NOW + datetime.timedelta(1)).sign(KEY, SHA))


def about_some() -> bytes:
    point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    builder = x509.CertificateRevocationListBuilder().issuer_name(CA.subject)
    builder = builder.add_extension(point, critical=True)
    return pem(builder.last_update(NOW).next_update(NOW + datetime.timedelta(1)).sign(KEY, SHA))


def changed() -> bytes:
    der = listed((5,)).public_bytes(Encoding.DER)
    serial = der.rindex(b"\x02\x01\x05")
    return pem(x509.load_der_x509_crl(der[: serial + 2] + b"\x06" + der[serial + 3 :]))


SHA = hashes.SHA384()


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (signed_by_another, "did not sign"),
        (changed, "did not sign"),
        (of_another_authority, "another authority's"),
        (about_some, "not for all"),
        (lambda: CA_PEM, "no revocation list"),
        (lambda: b"", "no revocation list"),
    ],
)
def test_a_list_that_is_not_the_authoritys_is_refused(forged: Callable[[], bytes], said: str) -> None:
    with pytest.raises(BadRevocationList, match=said):
        RevocationList.parse(forged(), CA_PEM)


WHOLE = pem(listed((5,)))


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)))
def test_no_bytes_break_the_parser(junk: bytes, first: int, last: int) -> None:
    for each in (junk, WHOLE[:first] + junk + WHOLE[last:]):
        with contextlib.suppress(BadRevocationList):
            assert RevocationList.parse(each, CA_PEM).serials == {5}
