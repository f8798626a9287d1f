"""Who may use the relay: static users, and names that expire and name their access site.

A time-limited name is ``expiry:user`` or ``expiry:site:user`` with ``expiry`` in unix seconds, and its
password is base64(HMAC-SHA1(secret, name)) (draft-uberti-behave-turn-rest-00 §2.2): whoever holds the secret
can check it, so the server knows a datagram's site without asking anyone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from relay.errors import UsageError


@dataclass(frozen=True, slots=True)
class Account:
    """What a user name stands for. ``user`` is whom quotas are counted for."""

    user: str
    password: str = field(repr=False)
    site: str | None = None
    expires: float | None = None
    """Unix seconds; checked when an allocation is made or refreshed."""


class Credentials(Protocol):
    """Where passwords come from."""

    def account(self, username: str) -> Account | None:
        """The account of that name, or None where there cannot be one."""

    def void(self, user: str, until: float) -> None:
        """Take no name of ``user`` any more that expires at ``until`` (unix seconds) or before, or never."""


class StaticUsers:
    """Users that are named on the command line; they have no site and do not expire."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = dict(passwords)

    @classmethod
    def parse(cls, specifications: Iterable[str]) -> StaticUsers:
        """Users given as ``NAME:PASSWORD``; raises ``UsageError`` without ever showing a password."""
        passwords: dict[str, str] = {}
        for specification in specifications:
            name, separator, password = specification.partition(":")
            if not (name and separator and password):
                raise UsageError("--user wants NAME:PASSWORD, such as --user alice:wonderland")
            if name in passwords:
                raise UsageError(f"--user {name} is given twice; give each name one password")
            passwords[name] = password
        return cls(passwords)

    def account(self, username: str) -> Account | None:
        password = self._passwords.get(username)
        return None if password is None else Account(username, password)

    def void(self, user: str, until: float) -> None:
        self._passwords.pop(user, None)


class SharedSecret:
    """Time-limited names under a secret that signalling and the TURN server share."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._void: dict[str, float] = {}

    def mint(self, user: str, site: str, now_unix: float, lifetime: float) -> tuple[str, str]:
        """Name and password for ``user`` at access site ``site``, good for ``lifetime`` seconds."""
        if ":" in site or not site or not user:
            raise UsageError(f"user {user!r} at site {site!r}: both need a name, the site one without colons")
        username = f"{int(now_unix + lifetime)}:{site}:{user}"
        return username, self._password(username)

    def account(self, username: str) -> Account | None:
        expiry, *rest = username.split(":", 2)
        if not (expiry.isascii() and expiry.isdigit() and len(expiry) <= 15 and rest and all(rest)):
            return None
        site = rest[0] if len(rest) == 2 else None
        if float(expiry) <= self._void.get(rest[-1], -math.inf):
            return None
        return Account(rest[-1], self._password(username), site, float(expiry))

    def void(self, user: str, until: float) -> None:
        self._void[user] = until

    def _password(self, username: str) -> str:
        return base64.b64encode(hmac.digest(self._secret, username.encode(), hashlib.sha1)).decode()


def long_term_key(username: str, realm: str, password: str, *, sha256: bool = False) -> bytes:
    """MD5 or SHA-256 of name, realm and password (RFC 8489 §9.2.2, §18.5.1)."""
    opaque = ":".join(unicodedata.normalize("NFC", part) for part in (username, realm, password)).encode()
    if sha256:
        return hashlib.sha256(opaque).digest()
    return hashlib.md5(opaque, usedforsecurity=False).digest()
