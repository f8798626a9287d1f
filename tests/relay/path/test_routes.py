"""Paths between sites."""

from __future__ import annotations

from relay.path.model import Hop
from relay.path.routes import Routes

HOPS = [Hop("beijing-tianjin", 60.0), Hop("tianjin-hefei", 80.0, loss=0.5)]


def test_both_directions_go_over_the_same_hops() -> None:
    routes = Routes({("beijing", "hefei"): HOPS}, seed=1)
    there, back = routes.between("beijing", "hefei"), routes.between("hefei", "beijing")
    assert there is not None
    assert back is not None
    assert back.hops == there.hops[::-1]


def test_both_directions_have_their_own_luck() -> None:
    routes = Routes({("beijing", "hefei"): HOPS}, seed=1)
    fates = []
    for path in (routes.between("beijing", "hefei"), routes.between("hefei", "beijing")):
        assert path is not None
        fates.append([path.release("a", 100, 0.0) is None for _ in range(100)])
    assert fates[0] != fates[1]


def test_there_is_no_path_within_a_site_nor_to_nowhere() -> None:
    routes = Routes({("beijing", "hefei"): HOPS}, seed=1)
    assert routes.between("beijing", "beijing") is None
    assert routes.between("beijing", "atlantis") is None
    assert routes.between(None, "hefei") is None


def test_a_hop_that_is_out_is_out_in_both_directions_and_on_every_path() -> None:
    hops = [Hop("beijing-tianjin", 60.0), Hop("tianjin-hefei", 80.0)]
    routes = Routes({("beijing", "hefei"): hops, ("beijing", "tianjin"): hops[:1]}, seed=1)
    routes.outage("beijing-tianjin", 10.0, 20.0)
    for path in routes.items().values():
        assert path.release("a", 100, 9.0) is not None
        assert path.release("a", 100, 15.0) is None
        assert path.release("a", 100, 21.0) is not None


def test_a_new_way_is_taken_in_both_directions() -> None:
    routes = Routes({("beijing", "hefei"): HOPS}, seed=1)
    there, back = routes.between("beijing", "hefei"), routes.between("hefei", "beijing")
    routes.replace("beijing", "hefei", detour := [Hop("beijing-jinan", 400.0), Hop("jinan-hefei", 600.0)])
    assert there is not None
    assert back is not None
    assert there.hops == tuple(detour)
    assert back.hops == tuple(detour[::-1])
    routes.replace("beijing", "hefei", [])
    assert there.release("a", 100, 0.0) is None


def test_an_outage_and_a_detour_meet_a_path_that_is_first_taken_later() -> None:
    routes = Routes({("a", "b"): [Hop("a–b", 100)]}, seed=1)
    routes.outage("a–b", 0.0, 1.0)
    routes.replace("a", "b", [Hop("a–c", 50), Hop("a–b", 60)])
    back = routes.between("b", "a")
    assert back is not None
    assert [hop.name for hop in back.hops] == ["a–b", "a–c"]
    assert back.release("flow", 100, 0.5) is None
    assert back.release("flow", 100, 1.5) is not None
    assert routes.hops("a", "nowhere") == ()
