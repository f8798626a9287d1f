"""The relay's certificate authority as a phone knows it: its certificate, and whom it has revoked.

``ca.pem`` came with the enrolment. ``crl.pem`` lies beside it and is fetched from the relay
(``GET /crl.pem``) when a login or a heartbeat names a newer one. Who brings it does not matter: the authority
has signed it, its number keeps an older one from taking its place, and its end limits for how long a relay
could hold back what was revoked since. A list that was named and cannot be had is asked for again and again;
until it is here, no key node is trusted, because it may be the one that was revoked.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from pathlib import Path

import aiohttp

from qcall.config import write_private
from qcall.errors import QcallError, RelayRefused, StorageError
from qcall.wire.revocation import BadRevocationList, RevocationList
from qcall.wire.signalling import CRL_PATH

from .address import RelayAddress
from .lane import CONNECT_LIMIT, connector, http_url, reason, unavailable, whole

MAX_LIST = 8 << 20
"""Bytes; room for 100,000 certificates."""
UNTRUSTED = "qkd-untrusted"
NO_LIST = "this phone has no revocation list that counts now; it gets one at its next login"
FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0
"""Seconds before the first and between the last attempts to have a list that could not be had."""


class KnownAuthority:
    """The authority with the certificate ``ca_pem``, and its revocation list in the file ``crl``."""

    def __init__(self, ca_pem: bytes, crl: Path) -> None:
        self.ca_pem = ca_pem
        self._crl = crl
        self._list: RevocationList | None = None
        self._named = 0
        """The number of the list that the relay says is the latest."""
        self._trouble: str | None = None
        """Why that list could not be had."""
        # A file that is damaged or not there is made good by the next login.
        with contextlib.suppress(OSError, BadRevocationList):
            self._list = RevocationList.parse(crl.read_bytes(), ca_pem)

    async def follow(self, relay: RelayAddress, number: int) -> None:
        """Have the list that the relay says is the latest, or one that is later.

        One attempt: what goes wrong with it, ``objection`` says, and ``catch_up`` makes good.
        """
        self._named = number
        if self._is_held():
            self._trouble = None
            return
        try:
            self.take(await fetch(relay, self.ca_pem))
            self._trouble = (
                None if self._is_held() else "the relay brought an older revocation list than it named"
            )
        except QcallError as error:
            self._trouble = str(error)

    async def catch_up(self, relay: RelayAddress) -> None:
        """Ask again, less and less often, until the list that was named is held."""
        delay = FIRST_DELAY
        while self._trouble is not None:
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)
            delay = min(2 * delay, LONGEST_DELAY)
            await self.follow(relay, self._named)

    @property
    def is_behind(self) -> bool:
        """Whether the list that was named last could not be had."""
        return self._trouble is not None

    def _is_held(self) -> bool:
        return (
            self._list is not None and self._list.number >= self._named and self._list.is_current(time.time())
        )

    def take(self, pem: bytes) -> None:
        """Hold to this list if it is newer, or the one before has ended. Raises :class:`RelayRefused`."""
        now = time.time()
        try:
            brought = RevocationList.parse(pem, self.ca_pem)
        except BadRevocationList as error:
            text = f"the relay brought a revocation list that is not to be believed: {error}"
            raise RelayRefused(text, code=UNTRUSTED) from None
        if not brought.is_current(now):
            text = "the relay's revocation list is out of date; compare the clocks of relay and phone"
            raise RelayRefused(text, code=UNTRUSTED)
        if self._list is None or brought.number > self._list.number or not self._list.is_current(now):
            self._list = brought
            with contextlib.suppress(StorageError):  # It counts all the same; the next login brings it again.
                write_private(self._crl, pem)

    def objection(self, serial: int) -> str | None:
        """Why the key node whose certificate has this serial number is not to be trusted now, if so."""
        if self._list is None or not self._list.is_current(time.time()):
            return self._trouble or NO_LIST
        if serial in self._list.serials:
            return "its certificate is revoked; ask the relay's operator"
        if self._trouble is not None:
            return f"it may have been revoked: {self._trouble}"
        return None


async def fetch(relay: RelayAddress, ca_pem: bytes) -> bytes:
    """What the relay gives as its revocation list. Raises :class:`Unavailable`."""
    timeout = aiohttp.ClientTimeout(total=CONNECT_LIMIT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector(relay, ca_pem)) as session,
            session.get(http_url(relay, CRL_PATH), allow_redirects=False, raise_for_status=True) as response,
        ):
            return await whole(relay, response, MAX_LIST)
    except aiohttp.ClientResponseError as error:
        raise unavailable(relay, f"it answered {error.status} instead of its revocation list") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unavailable(relay, reason(error)) from None
