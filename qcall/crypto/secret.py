"""Bytes that must not be seen: the one type in which keys travel through the program.

A `Secret` prints as ``<secret>``, compares in constant time, and can be neither hashed, pickled, copied
nor iterated over, so that a key cannot slip into a log line, a dictionary key or a traceback's repr.
`Secret.wipe` overwrites this object's buffer.

Honest limit: `Secret.reveal` returns an ordinary ``bytes`` object, because every library underneath wants
one, and Python may have copied it. Wiping shortens the life of a key in memory; it does not prove its end.
"""

from __future__ import annotations

from hmac import compare_digest
from types import TracebackType
from typing import NoReturn, Self


class Secret:
    """Key material of a fixed length in bytes. Usable as a context manager that wipes on the way out."""

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, value: bytes | bytearray) -> None:
        self._buffer = bytearray(value)
        self._wiped = False

    def reveal(self) -> bytes:
        """The bytes themselves. Raises ValueError when they have been wiped."""
        if self._wiped:
            raise ValueError("this secret has been wiped")
        return bytes(self._buffer)

    def wipe(self) -> None:
        """Overwrite the buffer with zeros; `reveal` fails from now on. Wiping twice is allowed."""
        self._buffer[:] = bytes(len(self._buffer))
        self._wiped = True

    @property
    def wiped(self) -> bool:
        return self._wiped

    def __len__(self) -> int:
        return len(self._buffer)

    def __bool__(self) -> bool:
        return not self._wiped and len(self._buffer) > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return not (self._wiped or other._wiped) and compare_digest(self._buffer, other._buffer)

    # Defining __eq__ already removes hashing; named here because it is meant.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()
