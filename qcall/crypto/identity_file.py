"""The file that holds an identity's private keys, with or without a passphrase.

    b"qcall identity 1\\n" + msgpack { wrap: null | {salt, passes, lanes, kib}, body }

``body`` is the three seeds, or, under a passphrase, their box (see `qcall.crypto.passphrase`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from qcall.errors import AgreementFailed, StorageError, UsageError

from .aead import TAG_LENGTH
from .identity import SEED_LENGTH, Identity
from .passphrase import Wrap
from .secret import Secret

MAGIC = b"qcall identity 1\n"
MAGIC_ANY_VERSION = b"qcall identity "
SEEDS = 3 * SEED_LENGTH
LONGEST = 4096
"""Bytes."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wrap: Wrap | None
    body: Annotated[bytes, msgspec.Meta(min_length=SEEDS, max_length=SEEDS + TAG_LENGTH)]


def dump(identity: Identity, passphrase: str | None, entropy: Callable[[int], bytes]) -> bytes:
    """The contents of an identity file. UsageError for an empty passphrase."""
    seeds = b"".join(seed.reveal() for seed in identity.seeds)
    if passphrase is None:
        return MAGIC + msgspec.msgpack.encode(_File(None, seeds))
    wrap = Wrap.fresh(entropy)
    sealed = wrap.seal(passphrase, MAGIC, seeds)
    return MAGIC + msgspec.msgpack.encode(_File(wrap, sealed))


def needs_passphrase(data: bytes) -> bool:
    """Whether `load` wants a passphrase. StorageError when ``data`` is not an identity file."""
    return _parse(data).wrap is not None


def load(data: bytes, passphrase: str | None) -> Identity:
    """The identity in ``data``. StorageError when it is none; UsageError when the passphrase is not its."""
    file = _parse(data)
    seeds = file.body
    if file.wrap is not None:
        if passphrase is None:
            raise UsageError("the identity file is protected; give its passphrase", code="passphrase")
        try:
            seeds = file.wrap.open(passphrase, MAGIC, file.body)
        except AgreementFailed:
            raise UsageError(
                "the passphrase does not open the identity file; try again", code="passphrase"
            ) from None
    if len(seeds) != SEEDS:
        raise StorageError("the identity file is damaged; restore it from a backup")
    parts = (Secret(seeds[i : i + SEED_LENGTH]) for i in range(0, SEEDS, SEED_LENGTH))
    return Identity(*parts)


def _parse(data: bytes) -> _File:
    if data.startswith(MAGIC_ANY_VERSION) and not data.startswith(MAGIC):
        raise StorageError("the identity file was written by a newer qcall; update qcall")
    if not data.startswith(MAGIC) or len(data) > LONGEST:
        raise StorageError("this is not an identity file; restore it from a backup")
    try:
        return msgspec.msgpack.decode(data[len(MAGIC) :], type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StorageError("the identity file is damaged; restore it from a backup") from None
