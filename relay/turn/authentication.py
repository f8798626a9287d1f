"""Who sent a request: the long-term credentials of RFC 8489 §9.2, bid-down-safe, without any state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.errors import Refused

from .attributes import (
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    USERNAME,
    Address,
    PasswordAlgorithm,
    Value,
)
from .credentials import Account, Credentials, long_term_key
from .message import Integrity, Message
from .nonces import Nonces

OFFERED: Final = (int(PasswordAlgorithm.SHA256), int(PasswordAlgorithm.MD5))
"""Password algorithms, the preferred one first."""


class Rejected(Refused):
    """A request that is answered with an error; ``values`` go into the answer beside ERROR-CODE.

    The text is for the operator; the client gets the number, because a reason phrase would only make the
    answer to a forged request larger.
    """

    def __init__(self, status: int, text: str, *values: Value) -> None:
        super().__init__(text, code=f"turn-{status}")
        self.status = status
        self.values = values


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent an authenticated request, and how its answer is protected."""

    username: str
    account: Account
    integrity: Integrity


class Authenticator:
    """Recognises the requests of one realm."""

    def __init__(self, realm: str, credentials: Credentials, nonces: Nonces) -> None:
        self._realm = realm
        self._credentials = credentials
        self._nonces = nonces

    def identify(self, message: Message, client: Address, now: float) -> Identity:
        """The sender of ``message``; raises ``Rejected`` as RFC 8489 §9.2.4 orders, or ``Malformed``."""
        if message.integrity_at is None and message.integrity_sha256_at is None:
            raise self.challenge(401, "the request has no integrity", client, now)
        username, realm, nonce = message.get(USERNAME), message.get(REALM), message.get(NONCE)
        if username is None or realm is None or nonce is None:
            raise Rejected(400, "the request lacks a name, realm or nonce")
        sha256 = self._algorithm(message) is PasswordAlgorithm.SHA256
        if not self._nonces.is_valid(nonce, client, now):
            raise self.challenge(438, "the nonce is stale", client, now)
        account = self._credentials.account(username)
        if account is not None:
            key = long_term_key(username, self._realm, account.password, sha256=sha256)
            # Whoever chose an algorithm knows RFC 8489 and protects with SHA-256; nothing weaker is taken.
            integrity = Integrity(key, sha256=message.get(PASSWORD_ALGORITHM) is not None)
            if message.is_authentic(integrity):
                return Identity(username, account, integrity)
        raise self.challenge(401, "unknown name or wrong password", client, now)

    def challenge(self, status: int, text: str, client: Address, now: float) -> Rejected:
        """An error with what the client needs to try again: 52 bytes of attributes for a short realm."""
        nonce = self._nonces.issue(client, now)
        return Rejected(status, text, REALM(self._realm), NONCE(nonce), PASSWORD_ALGORITHMS(OFFERED))

    @staticmethod
    def _algorithm(message: Message) -> PasswordAlgorithm:
        """The password algorithm of the request.

        A client that names one repeats the whole offer under its HMAC, so an offer that somebody made poorer
        on its way to the client comes back and is refused.
        """
        chosen, offer = message.get(PASSWORD_ALGORITHM), message.get(PASSWORD_ALGORITHMS)
        if chosen is None and offer is None:
            return PasswordAlgorithm.MD5
        if chosen is None or offer != OFFERED or len(chosen) != 1 or chosen[0] not in OFFERED:
            raise Rejected(400, "the password algorithms are not those that were offered")
        return PasswordAlgorithm(chosen[0])
