"""Path choice."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.network.routing import cheapest, disjoint, link_cost

Graph = dict[str, dict[str, float]]


def graph(*edges: tuple[str, str, float]) -> Graph:
    made: Graph = {}
    for a, b, cost in edges:
        made.setdefault(a, {})[b] = cost
        made.setdefault(b, {})[a] = cost
    return made


DIAMOND = graph(("a", "b", 1), ("b", "d", 1), ("a", "c", 2), ("c", "d", 2))
TRAP = graph(("s", "x", 1), ("x", "y", 1), ("y", "t", 1), ("s", "y", 9), ("x", "t", 9))
"""The shortest path s-x-y-t uses both nodes; two disjoint paths exist all the same."""


def test_the_cheapest_path_wins() -> None:
    assert cheapest(DIAMOND, "a", "d", float) == ("a", "b", "d")


def test_an_infinite_link_is_not_taken() -> None:
    assert cheapest(graph(("a", "b", math.inf), ("a", "c", 5), ("c", "b", 5)), "a", "b", float) == (
        "a",
        "c",
        "b",
    )


@pytest.mark.parametrize(("source", "target"), [("a", "z"), ("z", "a")])
def test_no_path_is_none(source: str, target: str) -> None:
    assert cheapest(DIAMOND, source, target, float) is None


def test_a_full_pool_beats_an_empty_one_of_the_same_length() -> None:
    assert link_cost(70, level=1000, capacity=1000) < link_cost(70, level=10, capacity=1000)


def test_a_much_longer_way_is_not_taken_for_a_fuller_pool() -> None:
    assert link_cost(70, level=0, capacity=1000) < link_cost(150, level=1000, capacity=1000)


def test_disjoint_paths_share_no_node_even_when_the_shortest_path_is_in_the_way() -> None:
    assert set(disjoint(TRAP, "s", "t", float, 2)) == {("s", "x", "t"), ("s", "y", "t")}


def test_fewer_disjoint_paths_are_all_there_are() -> None:
    assert len(disjoint(DIAMOND, "a", "d", float, 3)) == 2


def test_an_infinite_link_is_no_part_of_a_disjoint_path() -> None:
    broken = graph(("a", "b", 1), ("b", "d", math.inf), ("a", "c", 2), ("c", "d", 2))
    assert disjoint(broken, "a", "d", float, 2) == [("a", "c", "d")]


edges = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.floats(0.1, 100)).filter(lambda e: e[0] != e[1]),
    max_size=25,
)


@given(edges)
def test_paths_follow_links_and_disjoint_ones_share_only_their_ends(
    drawn: list[tuple[int, int, float]],
) -> None:
    made = graph(*((str(a), str(b), cost) for a, b, cost in drawn))
    one = cheapest(made, "0", "1", float)
    two = disjoint(made, "0", "1", float, 2)
    assert (one is None) == (not two)
    for path in two:
        assert (path[0], path[-1]) == ("0", "1")
        assert all(b in made[a] for a, b in pairwise(path))
    inner = [node for path in two for node in path[1:-1]]
    assert len(inner) == len(set(inner))
