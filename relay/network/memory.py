"""What a node remembers over a restart: which links it had, what was done to them, whether it is compromised.

Never key material: a link that is opened again begins with an empty pool, at the rate that its faults leave.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from relay.errors import StorageError
from relay.storage import why, write

FILE = "links.json"


class Disturbance(msgspec.Struct, forbid_unknown_fields=True):
    """What was done to a link of this node."""

    cut: bool = False
    eve: float = 0.0


class Memory(msgspec.Struct, forbid_unknown_fields=True):
    """By neighbour. Only a link that was never opened starts as if it had been running for a while."""

    opened: set[str] = msgspec.field(default_factory=set)
    disturbances: dict[str, Disturbance] = msgspec.field(default_factory=dict)
    compromised: bool = False


class MemoryFile:
    """A node's memory in its directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def load(self) -> Memory:
        """What was saved last, or nothing. Raises :class:`StorageError`."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Memory)
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {why(error, self._path)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise StorageError(f"{self._path} is damaged; remove it to begin anew") from None

    def save(self, memory: Memory) -> None:
        """Keep it; a disk that is full is told by :class:`StorageError`."""
        try:
            write(self._path, msgspec.json.encode(memory))
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {why(error, self._path)}") from None

    def forget(self) -> None:
        """Begin anew."""
        self._path.unlink(missing_ok=True)
