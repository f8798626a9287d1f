"""What the operator sees."""

from __future__ import annotations

import json

from relay.network import report, topology
from relay.network.link import BLOCK_BITS
from relay.network.network import Network

CHAIN = topology.load("beijing-hefei")


def test_a_planned_route_carries_what_its_weakest_hop_makes() -> None:
    route = report.planned_route(CHAIN, "beijing", "hefei")
    weakest = max(route.hops, key=lambda hop: hop.km)
    assert (len(route.hops), (weakest.a, weakest.b)) == (15, ("suzhou-anhui", "bengbu"))
    assert route.keys_per_second == weakest.rate / BLOCK_BITS
    assert route.calls == int(weakest.rate / 512 * 60)


def test_a_live_route_shows_what_was_done_to_it() -> None:
    net = Network(CHAIN, seed=bytes(32), now=0.0)
    net.eavesdrop("jinan", "taian", 1.0, 0.0)
    net.drain("beijing", "langfang", 0.0)
    route = report.live_route(net, CHAIN.path("beijing", "hefei"), 0.0)
    by_name = {hop.a: hop for hop in route.hops}
    assert (by_name["jinan"].condition, by_name["jinan"].rate, route.calls) == ("alarm", 0, 0)
    assert by_name["jinan"].qber > 0.25
    assert by_name["beijing"].pool == 0


def test_status_is_json_and_says_it_is_simulated() -> None:
    net = Network(CHAIN, seed=bytes(32), now=0.0)
    net.compromise("jinan")
    net.cut("jinan", "taian", 0.0)
    net.relay("beijing", "tianjin", "id", bytes(32), 0.0, entropy=bytes)
    seen = json.loads(json.dumps(report.status(net, 0.0)))
    links = {(link["a"], link["b"]): link for link in seen["links"]}
    assert seen["simulated"] is True
    assert seen["compromised"] == {"jinan": 0}
    assert seen["keys_relayed"] == 1
    assert links["jinan", "taian"]["condition"] == "cut"
    assert links["beijing", "langfang"]["spent"] == 512


def test_a_route_from_a_site_to_itself_is_empty() -> None:
    assert report.planned_route(CHAIN, "beijing", "beijing").hops == ()
