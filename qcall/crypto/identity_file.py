"""The file that holds an identity's private keys, with or without a passphrase.

    b"qcall identity 1\\n" + msgpack { wrap: null | {salt, passes, lanes, kib}, body }

``body`` is the three seeds, or, under a passphrase, their AES-256-GCM box; its key and IV come from
Argon2id (RFC 9106) over the passphrase, and its associated data is everything in front of it, so that a
weaker wrap cannot be claimed for it. Every writing draws a fresh salt, and with it a fresh nonce.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from qcall.errors import AgreementFailed, StorageError, UsageError

from .aead import BOX_LENGTH, TAG_LENGTH, Box
from .identity import SEED_LENGTH, Identity
from .secret import Secret

MAGIC = b"qcall identity 1\n"
MAGIC_ANY_VERSION = b"qcall identity "
SALT_LENGTH = 16
SEEDS = 3 * SEED_LENGTH
LONGEST = 4096
"""Bytes."""


class Wrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Argon2id's parameters; the defaults are RFC 9106, section 4, second recommended option.

    The upper limits keep a doctored file from eating the machine's memory.
    """

    salt: Annotated[bytes, msgspec.Meta(min_length=SALT_LENGTH, max_length=SALT_LENGTH)]
    passes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 3
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    kib: Annotated[int, msgspec.Meta(ge=8 * 16, le=1 << 20)] = 1 << 16

    def box(self, passphrase: str) -> Box:
        """The box under ``passphrase``, which is normalised, so that every keyboard's ö is the same."""
        derive = Argon2id(
            salt=self.salt,
            length=BOX_LENGTH,
            iterations=self.passes,
            lanes=self.lanes,
            memory_cost=self.kib,
        ).derive
        return Box(Secret(derive(unicodedata.normalize("NFC", passphrase).encode())))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wrap: Wrap | None
    body: Annotated[bytes, msgspec.Meta(min_length=SEEDS, max_length=SEEDS + TAG_LENGTH)]


def dump(identity: Identity, passphrase: str | None, entropy: Callable[[int], bytes]) -> bytes:
    """The contents of an identity file. UsageError for an empty passphrase."""
    if passphrase == "":
        raise UsageError("an empty passphrase protects nothing; give one, or none at all")
    seeds = b"".join(seed.reveal() for seed in identity.seeds)
    if passphrase is None:
        return MAGIC + msgspec.msgpack.encode(_File(None, seeds))
    wrap = Wrap(entropy(SALT_LENGTH))
    sealed = wrap.box(passphrase).seal(seeds, _associated(wrap))
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
            seeds = file.wrap.box(passphrase).open(file.body, _associated(file.wrap))
        except AgreementFailed:
            raise UsageError(
                "the passphrase does not open the identity file; try again", code="passphrase"
            ) from None
    if len(seeds) != SEEDS:
        raise StorageError("the identity file is damaged; restore it from a backup")
    parts = (Secret(seeds[i : i + SEED_LENGTH]) for i in range(0, SEEDS, SEED_LENGTH))
    return Identity(*parts)


def _associated(wrap: Wrap) -> bytes:
    return MAGIC + msgspec.msgpack.encode(wrap)


def _parse(data: bytes) -> _File:
    if data.startswith(MAGIC_ANY_VERSION) and not data.startswith(MAGIC):
        raise StorageError("the identity file was written by a newer qcall; update qcall")
    if not data.startswith(MAGIC) or len(data) > LONGEST:
        raise StorageError("this is not an identity file; restore it from a backup")
    try:
        return msgspec.msgpack.decode(data[len(MAGIC) :], type=_File)
    except msgspec.MsgspecError:
        raise StorageError("the identity file is damaged; restore it from a backup") from None
