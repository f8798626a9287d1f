"""Path choice: cheapest paths by a cost per link, and sets of paths that share no trusted node.

The cost of a link is infinite when it cannot carry a key now, so a path found is a path that can be used.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TypeVar

from relay.errors import NoKeyMaterial
from relay.kme.keys import Wish

L = TypeVar("L")
Graph = Mapping[str, Mapping[str, L]]
"""Every node, and its links by the node at their other end."""

Cost = Callable[[L], float]

FLOW_SCALE = 1000
"""networkx's minimum-cost flow wants whole numbers: costs are rounded to a thousandth."""


def link_cost(km: float, level: float, capacity: float) -> float:
    """Short links with full pools first: an empty pool makes a link look twice as long."""
    return km * (2.0 - level / capacity)


def cheapest(graph: Graph[L], source: str, target: str, cost: Cost[L]) -> tuple[str, ...] | None:
    """The path of least total cost (Dijkstra), both ends included; None when there is none."""
    if source not in graph or target not in graph:
        return None
    best = {source: 0.0}
    before: dict[str, str] = {}
    settled: set[str] = set()
    queue = [(0.0, source)]
    while queue:
        far, node = heapq.heappop(queue)
        if node == target:
            path = [target]
            while path[-1] != source:
                path.append(before[path[-1]])
            return tuple(reversed(path))
        if node in settled:
            continue
        settled.add(node)
        for other, link in graph[node].items():
            if other in settled or (len(graph[other]) == 1 and other != target):
                continue  # nothing goes on from a node with a single link
            there = far + cost(link)
            if there < best.get(other, math.inf):
                best[other], before[other] = there, node
                heapq.heappush(queue, (there, other))
    return None


def disjoint(graph: Graph[L], source: str, target: str, cost: Cost[L], count: int) -> list[tuple[str, ...]]:
    """At most ``count`` paths that share no node but their ends, of least total cost together.

    Fewer than ``count`` paths mean that there are no more. Taking the cheapest path first and looking for a
    second beside it can miss both; a flow through nodes of capacity one cannot.
    """
    import networkx as nx  # takes longer to load than everything else here, and few requests need it

    flow = nx.DiGraph()
    for node, links in graph.items():
        flow.add_edge(
            (node, "in"), (node, "out"), capacity=count if node in (source, target) else 1, weight=0
        )
        for other, link in links.items():
            price = cost(link)
            if price < math.inf and node != target and other != source:
                flow.add_edge((node, "out"), (other, "in"), capacity=1, weight=round(price * FLOW_SCALE))
    if source not in graph or target not in graph or source == target:
        return []
    flow.add_edge("supply", (source, "in"), capacity=count, weight=0)
    carried = nx.max_flow_min_cost(flow, "supply", (target, "out"))
    paths = []
    for first in [to for (to, _), units in carried[source, "out"].items() if units]:
        path = [source, first]
        while path[-1] != target:
            path.append(next(to for (to, _), units in carried[path[-1], "out"].items() if units))
        paths.append(tuple(path))
    return sorted(paths, key=len)


def choose(graph: Graph[L], source: str, target: str, cost: Cost[L], wish: Wish) -> list[tuple[str, ...]]:
    """The paths for one key: ``wish.disjoint`` of them, every hop usable now.

    Raises :class:`NoKeyMaterial`; its code is ``no-route`` when it is the wish that cannot be met.
    """

    def usable(link: L) -> float:
        return 1.0 if cost(link) < math.inf else math.inf

    if wish.route:
        found = [wish.route] if _is_path(graph, wish.route, source, target) else []
        if any(cost(graph[a][b]) == math.inf for path in found for a, b in pairwise(path)):
            raise NoKeyMaterial(f"the route asked for from {source} to {target} has no key now")
    elif wish.disjoint > 1:
        found = disjoint(graph, source, target, cost, wish.disjoint)
    else:
        one = cheapest(graph, source, target, cost)
        if one and wish.max_hops is not None and len(one) - 1 > wish.max_hops:
            one = cheapest(graph, source, target, usable)
        found = [one] if one else []
    fits = [path for path in found if wish.max_hops is None or len(path) - 1 <= wish.max_hops]
    if len(fits) < wish.disjoint:
        wanted = bool(wish.route or wish.max_hops is not None or wish.disjoint > 1)
        text = f"no path from {source} to {target} has key on every hop"
        raise NoKeyMaterial(text, code="no-route" if wanted else None)
    return fits


def _is_path(graph: Graph[L], path: tuple[str, ...], source: str, target: str) -> bool:
    return (
        (path[0], path[-1]) == (source, target)
        and len(set(path)) == len(path)
        and all(b in graph.get(a, {}) for a, b in pairwise(path))
    )
