"""Stateless nonces: the server remembers nothing about those who only ask.

A nonce is a cookie, a timestamp and an HMAC over that and the client's address. It is taken back with its
cookie only, so nobody in between can hide from a client that there are password algorithms (RFC 8489 §9.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from .attributes import Address

COOKIE: Final = b"obMatJos2" + base64.b64encode(b"\x80\0\0")
"""The nonce cookie with the feature bit "password algorithms" (RFC 8489 §9.2, §18.1)."""
LIFETIME: Final = 3600.0
"""Seconds; RFC 8656 §5 wants a new nonce at least every hour."""
_MAC_SIZE: Final = 8


class Nonces:
    """Issues and recognises nonces under one key of 32 random bytes, made when the server starts."""

    def __init__(self, key: bytes, *, lifetime: float = LIFETIME) -> None:
        self._key = key
        self._lifetime = lifetime

    def issue(self, client: Address, now: float) -> bytes:
        """A nonce of 28 bytes for that client address. ``now``: seconds of the server's clock."""
        stamp = (int(now) & 0xFFFFFFFF).to_bytes(4, "big")
        return COOKIE + base64.b85encode(stamp + self._mac(stamp, client))

    def is_valid(self, nonce: bytes, client: Address, now: float) -> bool:
        """Whether this server issued ``nonce`` to that client address less than the lifetime ago."""
        try:
            body = base64.b85decode(nonce.removeprefix(COOKIE))
        except ValueError:
            return False
        stamp, mac = body[:4], body[4:]
        if not nonce.startswith(COOKIE) or not hmac.compare_digest(mac, self._mac(stamp, client)):
            return False
        return (int(now) - int.from_bytes(stamp, "big")) & 0xFFFFFFFF < self._lifetime

    def _mac(self, stamp: bytes, client: Address) -> bytes:
        covered = stamp + f"{client[1]}/{client[0]}".encode()
        return hmac.digest(self._key, covered, hashlib.sha256)[:_MAC_SIZE]
