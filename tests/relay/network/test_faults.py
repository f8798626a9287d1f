"""Requests of the fault laboratory: what is asked is done, what cannot be is refused in one line."""

from __future__ import annotations

import contextlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import UsageError
from relay.kme.keys import EndKey
from relay.kme.keystore import SqliteKeyStore
from relay.network.faults import FaultRequest, apply, understood, void
from relay.network.network import Network
from relay.network.topology import load

CHAIN = load("beijing-hefei")


@pytest.fixture
def net() -> Network:
    return Network(CHAIN, seed=bytes(32), now=0.0)


def do(net: Network, action: str, *names: str, **more: float) -> None:
    apply(understood({"action": action, "names": list(names), **more}, CHAIN), net, 0.0)


def test_a_cut_link_is_cut_and_everything_is_restored_at_once(net: Network) -> None:
    do(net, "cut", "jinan", "taian")
    do(net, "eve", "qufu", "taian", share=0.5)
    do(net, "compromise", "jinan")
    assert [net.state(*link).condition for link in (("jinan", "taian"), ("taian", "qufu"))] == [
        "cut",
        "alarm",
    ]
    do(net, "restore")
    assert {state.condition for state in net.states} == {"up"}
    assert net.captured == {}


def test_a_drained_link_is_empty(net: Network) -> None:
    do(net, "drain", "jinan", "taian")
    assert [end.level(0.0) for end in net.state("jinan", "taian").ends] == [0, 0]


def test_one_link_and_one_node_are_restored_alone(net: Network) -> None:
    for link in (("jinan", "taian"), ("taian", "qufu")):
        do(net, "cut", *link)
    do(net, "compromise", "jinan")
    do(net, "compromise", "taian")
    do(net, "restore", "taian", "jinan")
    do(net, "restore", "taian")
    assert (net.state("jinan", "taian").condition, net.state("taian", "qufu").condition) == ("up", "cut")
    assert list(net.captured) == ["jinan"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"action": "explode"}, "cannot be understood"),
        ({"action": "cut", "names": ["jinan"]}, "two nodes of a link"),
        ({"action": "cut", "names": ["jinan", "hefei"]}, "jinan has links to: yucheng, taian"),
        ({"action": "compromise", "names": ["atlantis"]}, "there is no node atlantis"),
        ({"action": "compromise", "names": []}, "the name of a node"),
        ({"action": "eve", "names": ["jinan", "taian"], "share": 1.5}, "between 0 and 1"),
        ({"action": "eve", "names": ["jinan", "taian"], "share": float("nan")}, "between 0 and 1"),
        ({"action": "cut", "names": ["jinan", "taian"], "force": True}, "cannot be understood"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        understood(arguments, CHAIN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
"""All that a control socket can hand on."""


@given(st.dictionaries(st.sampled_from(["action", "names", "share", "x"]), JSON, max_size=4))
def test_whatever_is_asked_is_understood_or_refused(arguments: dict[str, object]) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(understood(arguments, CHAIN), FaultRequest)


@pytest.mark.parametrize(
    ("action", "share", "left"),
    [
        ("eve", 1.0, (set(), {"other"})),
        ("drain", 1.0, (set(), {"waiting", "other"})),
        ("eve", 0.01, ({"stock"}, {"waiting", "other"})),
        ("cut", 1.0, ({"stock"}, {"waiting", "other"})),
        ("restore", 1.0, ({"stock"}, {"waiting", "other"})),
    ],
)
def test_the_alarm_voids_what_nobody_fetched_yet_a_drained_pool_the_stock_and_no_other_fault_a_thing(
    tmp_path: Path, action: str, share: float, left: tuple[set[str], set[str]]
) -> None:
    store = SqliteKeyStore(tmp_path / "keys.db", bytes(32), boot_id="x")
    over = (("beijing", "jinan", "taian"),)
    store.add_stock("peer", [EndKey("stock", bytes(32), over)], owned=True, expires=9)
    store.hold(EndKey("waiting", bytes(32), over), "m", ["s"], expires=9)
    store.hold(EndKey("other", bytes(32), (("beijing", "jinan"),)), "m", ["s"], expires=9)
    void(understood({"action": action, "names": ["taian", "jinan"], "share": share}, CHAIN), CHAIN, store)
    stock = {key.key_id for key in store.take_stock("peer", 5, 0)}
    assert (stock, {key.key_id for key in store.contents()}) == left
    assert store.count_waiting("m", 0) == len(left[1])
    store.close()


def test_the_outlook_names_the_way_and_what_is_wrong_on_the_usual_one(net: Network) -> None:
    usual = CHAIN.path("beijing", "hefei")
    assert (net.outlook("beijing", "hefei", 0.0).path, net.outlook("beijing", "hefei", 0.0).faults) == (
        usual,
        (),
    )
    do(net, "cut", "taian", "jinan")
    do(net, "drain", "beijing", "langfang")
    seen = net.outlook("beijing", "hefei", 0.0)
    assert "zhengzhou" in seen.path
    assert [(fault.a, fault.b, fault.condition) for fault in seen.faults] == [
        ("beijing", "langfang", "empty"), ("jinan", "taian", "cut"),
    ]  # fmt: skip
    for a, b in pairwise(seen.path):
        do(net, "cut", a, b)
    assert net.outlook("beijing", "hefei", 0.0).path == ()


def test_the_budget_is_that_of_the_way_a_key_would_take(net: Network) -> None:
    usual = [net.state(a, b) for a, b in pairwise(CHAIN.path("beijing", "hefei"))]
    left, rate = net.budget("beijing", "hefei", 0.0)
    assert left == int(min(state.ends[0].level(0.0) for state in usual) // 512)
    assert rate == pytest.approx(min(state.quality.rate for state in usual) / 512)
    net.relay("beijing", "hefei", "k", bytes(32), 0.0, entropy=os.urandom)
    assert net.budget("beijing", "hefei", 0.0)[0] == left - 1


def test_the_outlook_names_what_is_wrong_on_the_detour_too(net: Network) -> None:
    do(net, "cut", "taian", "jinan")
    do(net, "eve", "anyang", "hebi")
    seen = net.outlook("beijing", "hefei", 0.0)
    assert [fault.condition for fault in seen.faults] == ["cut", "alarm"]
    assert (seen.path, seen.hops) == ((), ())
