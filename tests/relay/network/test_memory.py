"""What a node remembers, on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.errors import StorageError
from relay.network.memory import Disturbance, Memory, MemoryFile


def test_what_was_saved_is_there_after_a_restart_and_nothing_before(tmp_path: Path) -> None:
    assert MemoryFile(tmp_path).load() == Memory()
    memory = Memory({"x"}, {"x": Disturbance(True, 0.25)}, True)
    MemoryFile(tmp_path).save(memory)
    assert MemoryFile(tmp_path).load() == memory
    assert (tmp_path / "links.json").stat().st_mode & 0o777 == 0o600
    MemoryFile(tmp_path).forget()
    assert MemoryFile(tmp_path).load() == Memory()


def test_a_damaged_memory_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "links.json").write_bytes(b"\xff")
    with pytest.raises(StorageError, match="is damaged; remove it"):
        MemoryFile(tmp_path).load()


def test_a_memory_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        MemoryFile(tmp_path / "absent").save(Memory())
