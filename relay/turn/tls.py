"""TURN over TLS: the server's side of the connection (RFC 8656 §3.1, turns: of RFC 7065)."""

from __future__ import annotations

import ssl
from pathlib import Path

from relay.errors import UsageError


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, as WebRTC clients speak it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (certificate, key):
        if not file.is_file():
            raise UsageError(f"{file}: no such file; --tls-cert and --tls-key want PEM files")
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except (OSError, ssl.SSLError):
        raise UsageError(
            f"{certificate} and {key} are no certificate and its unencrypted key; give PEM files"
        ) from None
    return context


def _refuse_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise ssl.SSLError("the key is encrypted")
