"""The file that a phone is backed up in: always under a passphrase, because it holds every private key.

    b"qcall backup 1\\n" + msgpack { wrap: {salt, passes, lanes, kib}, body }

``body`` is the box (see `qcall.crypto.passphrase`) around msgpack { name, made_at, files: {name: contents} }.
Even the name of the phone is sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from qcall.errors import AgreementFailed, StorageError, UsageError

from .aead import TAG_LENGTH
from .passphrase import Wrap

MAGIC = b"qcall backup 1\n"
MAGIC_ANY_VERSION = b"qcall backup "
LONGEST = 1 << 30
"""Bytes."""


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a phone: its files by name, made at ``made_at`` (Unix seconds)."""

    name: str
    made_at: float
    files: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Backup(name={self.name!r}, made_at={self.made_at}, files={sorted(self.files)})"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wrap: Wrap
    body: Annotated[bytes, msgspec.Meta(min_length=TAG_LENGTH)]


def dump(backup: Backup, passphrase: str, entropy: Callable[[int], bytes]) -> bytes:
    """The contents of a backup file. UsageError for an empty passphrase."""
    wrap = Wrap.fresh(entropy)
    return MAGIC + msgspec.msgpack.encode(
        _File(wrap, wrap.seal(passphrase, MAGIC, msgspec.msgpack.encode(backup)))
    )


def load(data: bytes, passphrase: str) -> Backup:
    """The backup in ``data``. StorageError when it is none; UsageError when the passphrase is not its."""
    if data.startswith(MAGIC_ANY_VERSION) and not data.startswith(MAGIC):
        raise StorageError("this backup was written by a newer qcall; update qcall")
    if not data.startswith(MAGIC) or len(data) > LONGEST:
        raise StorageError("this is not a backup of a phone; give a file that qcall export wrote")
    try:
        file = msgspec.msgpack.decode(data[len(MAGIC) :], type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StorageError("this backup is damaged; take another copy of it") from None
    try:
        plain = file.wrap.open(passphrase, MAGIC, file.body)
    except AgreementFailed:
        raise UsageError(
            "the passphrase does not open this backup, or the file is damaged; try again", code="passphrase"
        ) from None
    try:
        return msgspec.msgpack.decode(plain, type=Backup)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StorageError("this backup was written by another qcall; use the one that wrote it") from None
