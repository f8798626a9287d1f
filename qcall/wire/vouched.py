"""TLS to whom one trusts now: the server's certificate is looked at before every request.

TLS looks at a certificate once, in the handshake; a connection that is kept warm for an hour would outlive
its certificate's end or revocation. Both phones and key nodes call servers this way.
"""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import aiohttp

Objection: TypeAlias = Callable[[int], str | None]
"""Why the certificate with this serial number is not to be trusted (now), if it is not."""


class Untrusted(aiohttp.ClientConnectionError):
    """The server's certificate is not to be trusted; the text says why. Nothing was sent."""


class VouchedConnector(aiohttp.TCPConnector):
    """Connections whose server ``objection`` has nothing against, each time one is used."""

    def __init__(self, objection: Objection, **options: Any) -> None:
        super().__init__(**options)
        self._objection = objection

    async def connect(self, *request: Any, **options: Any) -> Any:
        """As :meth:`aiohttp.BaseConnector.connect`. Raises :class:`Untrusted`."""
        connection = await super().connect(*request, **options)
        peer = connection.transport.get_extra_info("peercert") if connection.transport else None
        if (objection := self._objected(peer)) is not None:
            connection.close()
            raise Untrusted(objection)
        return connection

    def _objected(self, peer: dict[str, Any] | None) -> str | None:
        if not peer:
            return "it shows no certificate"
        if time.time() > expiry(peer["notAfter"]):
            return "its certificate has expired"
        return self._objection(int(peer["serialNumber"], 16))


@functools.lru_cache(maxsize=4096)
def expiry(not_after: str) -> float:
    """Unix time of a certificate's end as OpenSSL writes it; who asks often reads the same few."""
    return float(ssl.cert_time_to_seconds(not_after))
