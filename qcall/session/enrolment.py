"""Sets a phone up: an identity of its own making, and a relay that knows it.

The keys are written first and the account last, and only with it the phone counts as set up. An enrolment
whose answer is lost is repeated by ``qcall init`` with the same keys, which the relay recognises: an invite
that was used for nothing locks nobody out.
"""

from __future__ import annotations

import os

from qcall.config import Account, Home, write_private
from qcall.crypto.identity import Identity, Role
from qcall.crypto.identity_file import dump
from qcall.errors import UsageError
from qcall.net import signalling
from qcall.net.kme import sae_key_and_request
from qcall.records.store import Records

from .identity import open_identity


class RelaySigner:
    """Signs what a relay asks to have signed; never anything of a call."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Ed25519 and ML-DSA-87 signatures over ``message``, in the role of enrolment."""
        signature = self._identity.sign(Role.ENROLMENT, message)
        return signature.ed25519, signature.mldsa


async def enrol(home: Home, name: str, relay: str, invite: str, passphrase: str | None) -> Account:
    """Make an identity in ``home`` and enrol it as ``name``.

    Raises ``UsageError`` when the home is in use, ``Unavailable`` and ``RelayRefused`` as the relay does.
    """
    if home.account_file.exists():
        raise UsageError(
            f"{home.directory} already holds the phone of {home.account().name}; choose another --home"
        )
    home.create()
    if home.identity.exists():
        identity = open_identity(home, passphrase)
    else:
        identity = Identity.create(os.urandom)
        write_private(home.identity, dump(identity, passphrase, os.urandom))
    public = identity.public()
    sae_key, request = sae_key_and_request()
    enrolled = await signalling.enrol(
        relay,
        name=name,
        invite=invite,
        ed25519_public=public.ed25519,
        mldsa_public=public.mldsa,
        csr_pem=request,
        signer=RelaySigner(identity),
    )
    write_private(home.sae_key, sae_key)
    write_private(home.sae_certificate, enrolled.certificate_pem)
    write_private(home.ca_certificate, enrolled.ca_pem)
    account = Account(
        name=name,
        relay=relay,
        site=enrolled.site,
        sae_id=enrolled.sae_id,
        kme_id=enrolled.kme_id,
    )
    # A phone that is set up has records from the beginning, so that records that get lost are missed.
    Records(home.records).close()
    home.save_account(account)
    return account
