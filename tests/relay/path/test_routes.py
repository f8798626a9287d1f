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
