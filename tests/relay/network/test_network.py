"""A network in one process, which knows every pool at every moment: what it makes of that.

What it shares with nodes in processes of their own is in ``test_relaying``; those estimate what is in pools
of which they have not heard for a while.
"""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from relay.errors import NoKeyMaterial, UsageError
from relay.kme.keys import ANY_PATH, Wish
from relay.network import topology
from relay.network.link import BLOCK_BITS
from relay.network.network import Network, Relayed

KEY = bytes(range(32))
MAIN = topology.load("beijing-hefei").path("beijing", "hefei")


def network(*, warm: float = 60.0) -> Network:
    return Network(topology.load("beijing-hefei"), seed=bytes(32), now=0.0, warm=warm)


def carry(net: Network, now: float = 0.0, wish: Wish = ANY_PATH) -> Relayed:
    return net.relay("beijing", "hefei", "id", KEY, now, wish=wish, entropy=os.urandom)


def test_an_eavesdropper_stops_the_rate_then_raises_the_alarm() -> None:
    net = network()
    net.eavesdrop("jinan", "taian", 0.2, 0.0)
    assert (net.state("jinan", "taian").condition, net.state("jinan", "taian").ends[0].rate) == ("no-key", 0)
    assert carry(net).paths == (MAIN,), "key made before the eavesdropper came is still good"
    before = net.state("jinan", "taian").ends[0].level(0.0)
    net.eavesdrop("jinan", "taian", 0.1, 0.0)
    assert net.state("jinan", "taian").ends[0].level(0.0) == before
    net.eavesdrop("jinan", "taian", 1.0, 0.0)
    assert [end.level(0.0) for end in net.state("jinan", "taian").ends] == [0, 0], "she was there before"
    assert net.state("jinan", "taian").condition == "alarm"
    assert "jinan" not in carry(net).paths[0]


def test_a_drained_link_is_avoided_until_it_has_filled() -> None:
    net = network()
    net.drain("jinan", "taian", 0.0)
    assert "jinan" not in carry(net).paths[0]
    assert carry(net, now=60.0).paths == (MAIN,)


def test_fewest_hops_are_found_when_the_cheapest_path_has_too_many() -> None:
    net = network()
    for a, b in pairwise(MAIN):
        net.drain(a, b, 0.0)
    now = 30.0  # the eastern pools are fuller than a block, but emptier than the western ones
    assert len(carry(net, now, wish=Wish(max_hops=15)).paths[0]) == 16


def test_in_steady_state_the_weakest_link_sets_the_pace() -> None:
    net = network(warm=0.0)
    net.cut("anyang", "hebi", 0.0)
    weakest = min(net.state(a, b).quality.rate for a, b in pairwise(MAIN))
    carried = 0
    for tick in range(1, 2001):
        try:
            carry(net, now=tick * 0.01)
        except NoKeyMaterial:
            continue
        carried += 1
    assert carried / 20 == pytest.approx(weakest / BLOCK_BITS, rel=0.02)


@pytest.mark.parametrize("fault", ["cut", "drain", "restore"])
def test_a_fault_on_a_link_that_does_not_exist_is_a_usage_error(fault: str) -> None:
    with pytest.raises(UsageError, match="jinan has links to: yucheng, taian"):
        getattr(network(), fault)("jinan", "hefei", 0.0)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_an_eavesdropper_on_no_possible_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        network().eavesdrop("jinan", "taian", share, 0.0)
