"""What nodes in processes of their own tell each other of links and calls, from neighbour to neighbour.

Every node publishes the state of its links and how many calls draw keys at it over which links: at once when
a condition changes, and every so often otherwise. With every exchange between neighbours goes what one has
not yet told the other, so news crosses one hop in at most a tending interval, like the link state of OSPF
(RFC 2328 clause 13). Of two things that a node published the later one counts. Nodes are trusted, here as
with keys; news about a link is taken from its two ends only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .wire import LinkNews, NodeNews

REFRESH_SECONDS = 5.0
LEAST_STEP = 1e-3
FRESH_SECONDS = 20.0
"""What is older says nothing about now."""
UNUSABLE = frozenset({"cut", "alarm", "down"})


class NewsDesk:
    """What the node ``name`` knows of others, and has told its neighbours. Times in unix seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._news: dict[str, NodeNews] = {}
        self._told: dict[str, dict[str, float]] = {}

    def publish(self, links: tuple[LinkNews, ...], calls: dict[str, int], now: float) -> None:
        """Let others know, when there is something to know."""
        last = self._news.get(self._name)
        if last is not None:
            same = [_condition(each) for each in links] == [_condition(each) for each in last.links]
            if same and now - last.at < REFRESH_SECONDS:
                return
            now = max(now, last.at + LEAST_STEP)
        self._news[self._name] = NodeNews(self._name, now, links, calls)

    def take(self, news: Iterable[NodeNews], peer: str) -> None:
        """Learn what ``peer`` tells."""
        told = self._told.setdefault(peer, {})
        for each in news:
            known = self._news.get(each.node)
            told[each.node] = max(each.at, told.get(each.node, each.at))
            if each.node != self._name and (known is None or known.at < each.at):
                self._news[each.node] = each

    def untold(self, peer: str) -> tuple[NodeNews, ...]:
        """What ``peer`` has not heard from this node, nor told it."""
        told = self._told.get(peer, {})
        return tuple(each for node, each in self._news.items() if told.get(node, -1.0) < each.at)

    def heard(self, news: Iterable[NodeNews], peer: str) -> None:
        """``peer`` knows this now."""
        told = self._told.setdefault(peer, {})
        told.update((each.node, each.at) for each in news)

    def link(self, a: str, b: str, now: float) -> tuple[LinkNews, float] | None:
        """What an end of the link told last, and when; what is wrong goes before what is well."""
        found = [
            (each, told.at)
            for told in (self._news.get(a), self._news.get(b))
            if told is not None and now - told.at < FRESH_SECONDS
            for each in told.links
            if {each.a, each.b} == {a, b}
        ]
        return max(found, key=lambda pair: (pair[0].condition in UNUSABLE, pair[1]), default=None)

    def calls(self, now: float) -> dict[str, int]:
        """By link: the calls whose keys are drawn at other nodes."""
        total: Counter[str] = Counter()
        for node, told in self._news.items():
            if node != self._name and now - told.at < FRESH_SECONDS:
                total.update(told.calls)
        return dict(total)


def _condition(link: LinkNews) -> tuple[str, str, str, float]:
    return link.a, link.b, link.condition, link.rate
