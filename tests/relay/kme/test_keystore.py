"""The key store: each key once, also after a restart, and unreadable without the node's key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import StorageError
from relay.kme.keys import Assignment, EndKey, NotASlave, NotHeld
from relay.kme.keystore import SqliteKeyStore

NODE_KEY = bytes(32)
BOOT = "this boot"


def end_key(name: str, fill: int = 7, ready_at: float = 0.0) -> EndKey:
    return EndKey(name, bytes([fill]) * 32, (("a", "b"),), (0.01,), (2.5,), ready_at)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def store(file: Path) -> Iterator[SqliteKeyStore]:
    made = SqliteKeyStore(file, NODE_KEY, boot_id=BOOT)
    yield made
    made.close()


def reopened(
    store: SqliteKeyStore, file: Path, *, boot_id: str = BOOT, key: bytes = NODE_KEY
) -> SqliteKeyStore:
    store.close()
    return SqliteKeyStore(file, key, boot_id=boot_id)


def waiting(
    store: SqliteKeyStore,
    *,
    units: tuple[str, ...] = ("u",),
    size: int = 256,
    slaves: tuple[str, ...] = ("s",),
) -> None:
    store.add_stock("peer", [end_key(u, i + 1) for i, u in enumerate(units)], owned=False, expires=100)
    store.assign("peer", [Assignment(units[0], units, size, "m", slaves)], ready_at=0, expires=100)


def test_stock_is_handed_out_once_oldest_first(store: SqliteKeyStore) -> None:
    store.add_stock(
        "peer", [end_key("late", ready_at=2), end_key("soon", ready_at=1)], owned=True, expires=100
    )
    assert store.count_stock("peer", 0) == 2
    assert [key.key_id for key in store.take_stock("peer", 1, 0)] == ["soon"]
    assert [key.key_id for key in store.take_stock("peer", 5, 0)] == ["late"]
    assert store.take_stock("peer", 5, 0) == []


def test_stock_that_the_other_side_owns_is_not_handed_out(store: SqliteKeyStore) -> None:
    store.add_stock("peer", [end_key("u")], owned=False, expires=100)
    assert (store.count_stock("peer", 0), store.take_stock("peer", 1, 0)) == (0, [])


def test_an_assigned_key_is_delivered_once_whole_with_its_origin(store: SqliteKeyStore) -> None:
    waiting(store)
    assert store.deliver("m", "s", ["u"], 1) == [end_key("u", 1)]
    with pytest.raises(NotHeld):
        store.deliver("m", "s", ["u"], 1)


def test_a_long_key_is_its_units_joined_and_cut(store: SqliteKeyStore) -> None:
    waiting(store, units=("u1", "u2"), size=320)
    assert store.deliver("m", "s", ["u1"], 1)[0].key == b"\1" * 32 + b"\2" * 8


def test_each_of_several_slaves_gets_the_key_once(store: SqliteKeyStore) -> None:
    waiting(store, slaves=("s1", "s2"))
    assert store.deliver("m", "s1", ["u"], 1) == store.deliver("m", "s2", ["u"], 1)
    for slave in ("s1", "s2"):
        with pytest.raises(NotHeld):
            store.deliver("m", slave, ["u"], 1)


def test_who_was_not_named_gets_nothing_and_takes_nothing_away(store: SqliteKeyStore) -> None:
    waiting(store)
    with pytest.raises(NotASlave):
        store.deliver("m", "thief", ["u"], 1)
    assert store.deliver("m", "s", ["u"], 1)


def test_a_key_is_not_found_under_another_master(store: SqliteKeyStore) -> None:
    waiting(store)
    with pytest.raises(NotHeld):
        store.deliver("other", "s", ["u"], 1)


def test_of_several_keys_all_or_none_are_delivered(store: SqliteKeyStore) -> None:
    waiting(store)
    with pytest.raises(NotHeld):
        store.deliver("m", "s", ["u", "unknown"], 1)
    assert store.deliver("m", "s", ["u"], 1)


def test_of_several_assignments_all_or_none_are_made(store: SqliteKeyStore) -> None:
    store.add_stock("peer", [end_key("u")], owned=False, expires=100)
    both = [Assignment("u", ("u",), 256, "m", ("s",)), Assignment("x", ("x",), 256, "m", ("s",))]
    with pytest.raises(NotHeld):
        store.assign("peer", both, ready_at=0, expires=100)
    store.assign("peer", both[:1], ready_at=0, expires=100)


def test_only_the_peer_that_relayed_a_key_may_assign_it(store: SqliteKeyStore) -> None:
    store.add_stock("peer", [end_key("u")], owned=False, expires=100)
    with pytest.raises(NotHeld):
        store.assign("other", [Assignment("u", ("u",), 256, "m", ("s",))], ready_at=0, expires=100)


def test_what_is_held_survives_a_restart_and_what_was_delivered_stays_delivered(
    store: SqliteKeyStore, file: Path
) -> None:
    waiting(store, slaves=("s1", "s2"))
    store.add_stock("peer", [end_key("own")], owned=True, expires=100)
    store.deliver("m", "s1", ["u"], 1)
    again = reopened(store, file)
    with pytest.raises(NotHeld):
        again.deliver("m", "s1", ["u"], 1)
    assert again.deliver("m", "s2", ["u"], 1)
    assert again.take_stock("peer", 1, 1)
    final = reopened(again, file)
    assert final.take_stock("peer", 1, 1) == []
    final.close()


def test_after_another_boot_everything_is_void_because_a_power_cut_may_undo_a_delivery(
    store: SqliteKeyStore, file: Path
) -> None:
    waiting(store)
    store.add_stock("peer", [end_key("own")], owned=True, expires=100)
    again = reopened(store, file, boot_id="next boot")
    assert again.take_stock("peer", 1, 1) == []
    with pytest.raises(NotHeld):
        again.deliver("m", "s", ["u"], 1)
    again.close()


def test_keys_expire(store: SqliteKeyStore) -> None:
    waiting(store)
    store.add_stock("peer", [end_key("own")], owned=True, expires=50)
    assert store.take_stock("peer", 1, 51) == []
    with pytest.raises(NotHeld):
        store.deliver("m", "s", ["u"], 100)
    assert store.expire(99) == 1
    assert store.expire(100) == 1
    assert store.count_waiting("m", 0) == 0


def test_what_waits_and_crossed_a_link_with_any_part_of_it_is_void_and_no_other(
    store: SqliteKeyStore,
) -> None:
    def over(name: str, *nodes: str) -> EndKey:
        return EndKey(name, bytes(32), (nodes,), (0.01,) * (len(nodes) - 1), (2.5,) * (len(nodes) - 1))

    units = [over("u1", "a", "y", "b"), over("u2", "a", "x", "b"), over("u3", "a", "y", "b")]
    store.add_stock("peer", units, owned=False, expires=50)
    long, short = Assignment("k", ("u1", "u2"), 512, "m", ("s",)), Assignment("u3", ("u3",), 256, "m", ("s",))
    store.assign("peer", [long, short], ready_at=0, expires=50)
    [kept] = [key for key in store.contents() if key.key_id == "k"]
    assert (kept.paths, len(kept.qber), len(kept.age)) == ((("a", "y", "b"), ("a", "x", "b")), 4, 4)
    assert (store.void_waiting("b", "x"), store.count_waiting("m", 0)) == (1, 1)
    with pytest.raises(NotHeld):
        store.deliver("m", "s", ["k"], 1)
    assert store.deliver("m", "s", ["u3"], 1)


def test_a_cleared_stock_is_void(store: SqliteKeyStore) -> None:
    store.add_stock("peer", [end_key("own")], owned=True, expires=50)
    store.clear_stock("peer")
    assert store.take_stock("peer", 1, 0) == []


def test_owned_stock_that_crossed_a_link_is_void_and_no_other(store: SqliteKeyStore) -> None:
    def over(name: str, *nodes: str) -> EndKey:
        return EndKey(name, bytes(32), (nodes,))

    store.add_stock("peer", [over("u1", "a", "x", "b"), over("u2", "a", "y", "b")], owned=True, expires=50)
    store.add_stock("peer", [over("u3", "b", "x", "a")], owned=False, expires=50)
    assert store.void_stock("x", "a") == 1
    assert [key.key_id for key in store.take_stock("peer", 5, 0)] == ["u2"]
    store.assign("peer", [Assignment("u3", ("u3",), 256, "m", ("s",))], ready_at=0, expires=50)


def test_keys_that_wait_are_counted_whatever_happens_to_them(store: SqliteKeyStore, file: Path) -> None:
    waiting(store, units=("u1",), slaves=("s1", "s2"))
    waiting(store, units=("u2",))
    store.hold(end_key("h"), "m", ["s"], expires=5)
    assert store.count_waiting("m", 0) == 3
    store.deliver("m", "s1", ["u1"], 1)
    assert store.count_waiting("m", 1) == 3
    store.deliver("m", "s2", ["u1"], 1)
    assert store.count_waiting("m", 1) == 2
    with pytest.raises(NotHeld):
        store.deliver("m", "s", ["u2", "gone"], 1)
    assert store.count_waiting("m", 1) == 2
    assert store.count_waiting("m", 6) == 1
    again = reopened(store, file)
    assert again.count_waiting("m", 6) == 1
    again.close()


def test_no_key_byte_is_on_the_disk_before_or_after_delivery(store: SqliteKeyStore, file: Path) -> None:
    def disk() -> bytes:
        return b"".join(path.read_bytes() for path in file.parent.iterdir())

    waiting(store)
    store.hold(end_key("h"), "m", ["s"], expires=100)
    assert bytes([1]) * 16 not in disk()
    assert bytes([7]) * 16 not in disk()
    assert b"u" in disk(), "the file is where the test looks"
    store.deliver("m", "s", ["u"], 1)
    assert bytes([1]) * 16 not in disk()


def test_a_store_does_not_open_under_another_node_key(store: SqliteKeyStore, file: Path) -> None:
    waiting(store)
    other = reopened(store, file, key=bytes([1]) * 32)
    with pytest.raises(StorageError, match="does not match its node key"):
        other.deliver("m", "s", ["u"], 1)
    other.close()


def test_a_store_is_open_in_one_process_at_a_time(store: SqliteKeyStore, file: Path) -> None:
    with pytest.raises(StorageError, match="another program has it open"):
        SqliteKeyStore(file, NODE_KEY, boot_id=BOOT)


def test_a_file_that_is_no_key_store_is_not_touched(file: Path) -> None:
    file.write_bytes(b"something else entirely, long enough to be a header of a file" * 20)
    before = file.read_bytes()
    with pytest.raises(StorageError, match="no database; move it away"):
        SqliteKeyStore(file, NODE_KEY)
    assert file.read_bytes() == before


def test_a_store_is_for_its_owner_only(store: SqliteKeyStore, file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600


actions = st.lists(
    st.tuples(
        st.sampled_from(["assign", "deliver", "reopen"]), st.integers(0, 4), st.sampled_from(["s1", "s2"])
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions)
def test_in_whatever_order_no_slave_gets_a_key_twice(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, int, str]]
) -> None:
    file = tmp_path_factory.mktemp("store") / "keys.db"
    store = SqliteKeyStore(file, NODE_KEY, boot_id=BOOT)
    made: set[str] = set()
    got: set[tuple[str, str]] = set()
    for action, number, slave in drawn:
        unit = f"u{number}"
        if action == "reopen":
            store = reopened(store, file)
        elif action == "assign" and unit not in made:
            made.add(unit)
            waiting(store, units=(unit,), slaves=("s1", "s2"))
        elif action == "deliver":
            try:
                store.deliver("m", slave, [unit], 1)
            except NotHeld:
                assert unit not in made or (unit, slave) in got
            else:
                assert unit in made
                assert (unit, slave) not in got
                got.add((unit, slave))
    store.close()


def test_a_commit_that_comes_after_closing_has_nothing_left_to_do(store: SqliteKeyStore, file: Path) -> None:
    store.add_stock("peer", [end_key("k")], owned=True, expires=100)
    assert store.pending
    store.close()
    assert not store.pending
    store.commit()
    again = SqliteKeyStore(file, NODE_KEY, boot_id=BOOT)
    assert again.count_stock("peer", 0) == 1
    again.close()
