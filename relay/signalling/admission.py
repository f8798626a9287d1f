"""Who may come in: a Hello is checked, then a login or an enrolment over the challenge that answered it.

Synchronous and without a clock: nonce and time are arguments. Everything that is wrong with what a phone
sent is a ``Rejection``, whose code is all that the phone learns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qcall.wire.revocation import RevocationList
from qcall.wire.signalling import (
    NAME,
    VERSION,
    BadMessage,
    Challenge,
    Code,
    Enrol,
    Enrolled,
    FromPhone,
    Hello,
    Login,
    Rejected,
    TurnCredentials,
    decode_from_phone,
    enrol_transcript,
    login_transcript,
    version_of,
)
from relay.errors import Refused

from .accounts import INVALID_INVITE, Account, Accounts
from .identity import NOBODY, PublicKeys

TEXTS = {
    Code.VERSION: f"this relay speaks version {VERSION} of the signalling protocol; install the same release",
    Code.BAD_MESSAGE: "the relay could not read what this phone sent; install the same release on both",
    Code.BAD_NAME: "a user name is 1 to 32 of a-z, 0-9 and, after the first, also . _ -; choose another",
    Code.BAD_SIGNATURE: "the signatures of the enrolment are wrong; run the set-up again",
    Code.NOT_ENROLLED: (
        "this relay does not know this name and identity, or no longer; ask its operator for an invite, and "
        "set a phone up with it in a new home: qcall --home DIR init"
    ),
    Code.INVITE: INVALID_INVITE,
    Code.NAME_TAKEN: "this name has been taken; ask the relay's operator for an invite for another",
    Code.BAD_REQUEST: "the certificate request is not valid; run the set-up again",
    Code.NO_SITE: (
        "this relay serves no site {site} now; ask its operator to serve a topology that has it, or for an "
        "invite to another site"
    ),
    Code.SUPERSEDED: (
        "another phone has logged in under this name, and this one is offline now; to have it back, end the "
        "other and start this one again"
    ),
    Code.TIMEOUT: "the relay heard nothing from this phone for too long; connect again",
    Code.FAULT: "the relay has a fault of its own; its operator finds it in the relay's log",
    Code.BUSY: "too many attempts from this address; wait a minute, then try again",
}
"""What the phone's user reads."""


class Rejection(Exception):
    """The connection ends, and the phone is told why."""

    def __init__(self, code: Code, *, site: str = "") -> None:
        super().__init__(code)
        self.code = code
        self._site = site

    @property
    def message(self) -> Rejected:
        """What the phone is told."""
        return Rejected(self.code, TEXTS[self.code].format(site=self._site))


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """The key node of an access site, and the PEM of the authority that certifies it."""

    kme_id: str
    kme_url: str
    ca: bytes


@dataclass(frozen=True, slots=True)
class Services:
    """What the rest of the relay does for signalling.

    ``sign_csr(csr_pem, sae_id, kme_id)`` returns a PEM certificate, or raises ``Refused`` for a request that
    is none; ``site_info(site)`` is ``None`` for a site that is not served; ``turn_credentials(name, site)``
    mints fresh credentials; ``revocations()`` is the authority's latest list.
    """

    sign_csr: Callable[[bytes, str, str], bytes]
    site_info: Callable[[str], SiteInfo | None]
    turn_credentials: Callable[[str, str], TurnCredentials]
    revocations: Callable[[], RevocationList]


def read(frame: bytes) -> FromPhone:
    """A message of a phone; raises ``Rejection``."""
    try:
        return decode_from_phone(frame)
    except BadMessage:
        raise Rejection(Code.BAD_MESSAGE) from None


def hello(frame: bytes) -> str:
    """The name in a first frame; raises ``Rejection``."""
    if version_of(frame) not in (VERSION, None):
        raise Rejection(Code.VERSION)
    message = read(frame)
    if not isinstance(message, Hello):
        raise Rejection(Code.BAD_MESSAGE)
    if NAME.fullmatch(message.name) is None:
        raise Rejection(Code.BAD_NAME)
    return message.name


class Admission:
    """The door of one relay."""

    def __init__(self, accounts: Accounts, services: Services) -> None:
        self._accounts = accounts
        self._services = services

    def challenge(self, nonce: bytes) -> Challenge:
        """What a phone has to sign; ``nonce`` is 32 random bytes, good for one connection."""
        return Challenge(nonce, self._accounts.fingerprint)

    def login(self, name: str, challenge: Challenge, login: Login) -> Account:
        """The account of a phone that proves to be ``name``.

        A name that nobody has is answered like a wrong signature, and as late.
        """
        account = self._accounts.find(name)
        keys = NOBODY if account is None else account.keys
        transcript = login_transcript(relay=challenge.relay, nonce=challenge.nonce, name=name)
        if not keys.signed(transcript, login) or account is None:
            raise Rejection(Code.NOT_ENROLLED)
        return account

    def site_info(self, site: str) -> SiteInfo:
        """The key node of ``site``; a phone of a site that the running topology lacks is turned away."""
        info = self._services.site_info(site)
        if info is None:
            raise Rejection(Code.NO_SITE, site=site)
        return info

    def enrol(self, name: str, challenge: Challenge, enrol: Enrol, now_unix: float) -> Enrolled:
        """Check everything, have the certificate made, and only then use the invite up."""
        transcript = enrol_transcript(
            relay=challenge.relay,
            nonce=challenge.nonce,
            name=name,
            invite=enrol.invite,
            ed25519_public=enrol.ed25519_public,
            mldsa_public=enrol.mldsa_public,
            csr_pem=enrol.csr_pem,
        )
        keys = PublicKeys(enrol.ed25519_public, enrol.mldsa_public)
        if not keys.signed(transcript, enrol):
            raise Rejection(Code.BAD_SIGNATURE)

        def certify(site: str) -> tuple[SiteInfo, bytes]:
            info = self.site_info(site)
            return info, self._services.sign_csr(enrol.csr_pem, sae_id(name), info.kme_id)

        try:
            account, (info, certificate) = self._accounts.enrol(
                enrol.invite, name, keys, now_unix, certify=certify
            )
        except Refused as refused:
            known = refused.code in (Code.INVITE, Code.NAME_TAKEN)
            raise Rejection(Code(refused.code) if known else Code.BAD_REQUEST) from None
        return Enrolled(account.site, sae_id(name), info.kme_id, certificate, info.ca)


def sae_id(name: str) -> str:
    """The SAE ID of the phone of ``name``, which its certificate carries."""
    return f"sae-{name}"
