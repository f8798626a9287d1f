"""Where a relay is: the forms in which people write it, and whether it needs TLS. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from qcall.errors import UsageError


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay's signalling server. ``str`` is its URL, without a path."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, text: str) -> RelayAddress:
        """From ``ws://HOST:PORT``, ``wss://HOST:PORT`` or ``HOST:PORT``: TLS everywhere but on loopback.

        Raises ``UsageError``, also for ``ws`` to anywhere else, where others would read who calls whom.
        """
        scheme, separator, _ = text.partition("://")
        wrong = UsageError(f"{text!r} is no relay; write it as wss://HOST:PORT, or ws://127.0.0.1:PORT")
        try:
            parts = urlsplit(text if separator else f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise wrong from None
        if separator and scheme not in ("ws", "wss"):
            raise wrong
        if not host or port is None or port == 0 or parts.path not in ("", "/"):
            raise wrong
        if parts.username is not None or parts.query or parts.fragment or any(map(str.isspace, text)):
            raise wrong
        tls = scheme == "wss" if separator else not _is_loopback(host)
        if not tls and not _is_loopback(host):
            raise UsageError(f"{text} would not be encrypted; use wss://{_bracketed(host)}:{port}")
        return cls(host, port, tls)

    def __str__(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://{_bracketed(self.host)}:{self.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
