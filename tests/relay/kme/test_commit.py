"""The commit of a turn: nothing is answered before it, a crash leaves nothing of it, a fault fails it all."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import StorageError
from relay.kme.commit import GroupCommit
from relay.kme.keys import EndKey
from relay.kme.keystore import SqliteKeyStore


def end_key(name: str) -> EndKey:
    return EndKey(name, bytes(32), (("a",),))


class Store:
    """A key store, and what a kill of its process at this moment would leave."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "live"
        self.directory.mkdir()
        self.keys = SqliteKeyStore(self.directory / "keys.db", bytes(32), boot_id="x")

    def hold(self, name: str) -> None:
        self.keys.hold(end_key(name), "m", ["s"], expires=100)

    def after_a_kill(self) -> int:
        """Keys that wait in what is on disk now."""
        copy = self.directory.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.directory, copy)
        survivor = SqliteKeyStore(copy / "keys.db", bytes(32), boot_id="x")
        try:
            return survivor.count_waiting("m", 0)
        finally:
            survivor.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.keys.close()


async def test_what_was_waited_for_survives_a_kill_and_what_was_not_does_not(store: Store) -> None:
    commit = GroupCommit({"a": store.keys})
    store.hold("k1")
    assert store.after_a_kill() == 0
    await commit()
    assert store.after_a_kill() == 1


async def test_all_requests_of_a_turn_share_one_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, commits = GroupCommit({"a": store.keys}), 0
    real = store.keys.commit

    def counted() -> None:
        nonlocal commits
        commits += 1
        real()

    monkeypatch.setattr(store.keys, "commit", counted)

    async def request(name: str) -> None:
        store.hold(name)
        await commit()

    await asyncio.gather(*(request(f"k{i}") for i in range(20)))
    assert commits == 1
    assert store.after_a_kill() == 20


async def test_who_changed_nothing_does_not_wait(store: Store) -> None:
    asked = asyncio.ensure_future(GroupCommit({"a": store.keys})())
    await asyncio.sleep(0)
    assert asked.done()


async def test_a_request_that_gives_up_does_not_take_the_others_with_it(store: Store) -> None:
    commit = GroupCommit({"a": store.keys})
    store.hold("k1")
    waiting = [asyncio.ensure_future(commit()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await waiting[1]
    assert store.after_a_kill() == 1


class FaultyDisk:
    """A database whose disk fails at ``at``; what SQLite does then, it does by itself."""

    def __init__(self, db: sqlite3.Connection, at: str) -> None:
        self._db = db
        self._at = at

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self._db.close()

    def executemany(self, *arguments: object) -> object:
        return self._db.executemany(*arguments)  # type: ignore[call-overload]

    def execute(self, statement: str, *arguments: object) -> object:
        if statement.startswith(self._at):
            self._at = "never again"
            self._db.execute("ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(statement, *arguments)  # type: ignore[call-overload]


@pytest.mark.parametrize("at", ["COMMIT", "INSERT INTO waiting"])
async def test_a_disk_fault_fails_everyone_whose_change_it_undid(store: Store, at: str) -> None:
    commit = GroupCommit({"a": store.keys})
    store.hold("k1")
    waiting = asyncio.ensure_future(commit())
    await asyncio.sleep(0)
    store.keys._db = FaultyDisk(store.keys._db, at)  # type: ignore[assignment]
    if at != "COMMIT":
        with pytest.raises(StorageError):
            store.hold("k2")
    with pytest.raises(StorageError, match="cannot be written"):
        await waiting
    assert store.keys.count_waiting("m", 0) == store.after_a_kill() == 0
    store.hold("k3")
    await commit()
    assert store.after_a_kill() == 1
