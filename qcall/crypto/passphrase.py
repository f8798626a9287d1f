"""What a passphrase becomes: the key of one AES-256-GCM box, by Argon2id (RFC 9106).

A file under a passphrase is ``magic + msgpack {wrap, body}``. The associated data of its box is the magic
and the wrap, so that a weaker wrap cannot be claimed for it. Every writing draws a fresh salt, and with it a
fresh key and nonce.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from qcall.errors import UsageError

from .aead import BOX_LENGTH, Box
from .secret import Secret

SALT_LENGTH = 16


class Wrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Argon2id's parameters; the defaults are RFC 9106, section 4, second recommended option.

    The upper limits keep a doctored file from eating the machine's memory.
    """

    salt: Annotated[bytes, msgspec.Meta(min_length=SALT_LENGTH, max_length=SALT_LENGTH)]
    passes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 3
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    kib: Annotated[int, msgspec.Meta(ge=8 * 16, le=1 << 20)] = 1 << 16

    @classmethod
    def fresh(cls, entropy: Callable[[int], bytes]) -> Wrap:
        """A wrap for one writing; ``entropy(n)`` gives n random bytes."""
        return cls(entropy(SALT_LENGTH))

    def seal(self, passphrase: str, magic: bytes, plaintext: bytes) -> bytes:
        """Ciphertext and tag. UsageError for an empty passphrase."""
        if not passphrase:
            raise UsageError("an empty passphrase protects nothing; give one, or none at all")
        return self._box(passphrase).seal(plaintext, self._associated(magic))

    def open(self, passphrase: str, magic: bytes, sealed: bytes) -> bytes:
        """The plaintext. AgreementFailed when passphrase or file are not as they were."""
        return self._box(passphrase).open(sealed, self._associated(magic))

    def _box(self, passphrase: str) -> Box:
        """The box under ``passphrase``, which is normalised, so that every keyboard's ö is the same.

        Bytes of an environment that are no UTF-8 count as they are.
        """
        raw = unicodedata.normalize("NFC", passphrase).encode(errors="surrogateescape")
        derive = Argon2id(
            salt=self.salt,
            length=BOX_LENGTH,
            iterations=self.passes,
            lanes=self.lanes,
            memory_cost=self.kib,
        ).derive
        with Secret(derive(raw)) as material:
            return Box(material)

    def _associated(self, magic: bytes) -> bytes:
        return magic + msgspec.msgpack.encode(self)
