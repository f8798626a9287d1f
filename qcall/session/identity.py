"""The identity of the phone in a home."""

from __future__ import annotations

from qcall.config import Home
from qcall.crypto.identity import Identity
from qcall.crypto.identity_file import load, needs_passphrase
from qcall.errors import NotSetUp, StorageError


def open_identity(home: Home, passphrase: str | None) -> Identity:
    """The identity of the phone in ``home``. Raises ``NotSetUp``, ``StorageError`` and ``UsageError``."""
    return load(_identity_file(home), passphrase)


def is_protected(home: Home) -> bool:
    """Whether the identity in ``home`` is under a passphrase. Raises ``NotSetUp`` and ``StorageError``."""
    return needs_passphrase(_identity_file(home))


def _identity_file(home: Home) -> bytes:
    try:
        return home.identity.read_bytes()
    except FileNotFoundError:
        raise NotSetUp(
            f"no phone is set up in {home.directory}; run: qcall init NAME --relay URL --invite CODE"
        ) from None
    except OSError as error:
        raise StorageError(f"cannot read {home.identity}: {error.strerror}") from None
