"""A busy hour of the whole network as a discrete-event simulation on the product's own code.

``backbone-16`` and ``hefei-metro`` are joined at Hefei. Calls come at random instants, half of them within
the metropolitan network, a quarter between it and another city, a quarter between cities; they last 180 s on
the average, take an end key to begin and one every 60 s, and are kept under ``require``: without a first key
a call is blocked, without another for 300 s it is dropped. Every end key is really routed, padded,
authenticated and verified hop by hop, out of pools that fill at the links' rates (simulated). Everything is
drawn from one seed.

Run by ``scripts/bench keys`` as a program of its own, so that time and memory are its own: prints one JSON
line.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qcall.agreement.rekey import EPOCH_GRACE, INTERVAL
from qcall.agreement.rekey_caller import RETRY
from relay.errors import NoKeyMaterial
from relay.kme.reservations import Reservations, WayLink
from relay.kme.sharing import Sharing
from relay.network.network import Network
from relay.network.physics import PRESETS
from relay.network.supply import FIRST_STOCK
from relay.network.topology import Link, Topology, load

HOUR = 3600.0
HOLDING = 180.0
SAMPLE = 30.0
JOINED = (("hefei", "core-1", 8.0), ("hefei", "core-5", 9.0))
"""Modelled: how the metropolitan network meets the backbone, in km."""


def whole_network() -> Topology:
    """Both presets as one."""
    backbone, metro = load("backbone-16"), load("hefei-metro")
    joints = tuple(Link(a, b, km, 0.0, PRESETS["field"]) for a, b, km in JOINED)
    links = backbone.links + metro.links + joints
    return Topology("backbone-16 + hefei-metro", "modelled", backbone.sites + metro.sites, links)


@dataclass
class Call:
    """One call: an SAE that draws keys at ``source`` towards ``target``."""

    number: int
    source: str
    target: str
    ends: float
    failing_since: float | None = None


@dataclass
class Tally:
    """What happened."""

    attempts: int = 0
    blocked: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    late: int = 0
    """Rekeys that failed at first."""
    keys: int = 0
    hops: int = 0
    running: int = 0
    most: int = 0
    levels: list[tuple[float, float, float]] = field(default_factory=list)
    """Time, and the mean and lowest share to which pools are full."""


class BusyHour:
    """The simulation: a queue of events, the network, and the shares at every site."""

    def __init__(self, attempts: int, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.draw = random.Random(seed)
        self.topology = whole_network()
        self.network = Network(self.topology, seed=self.draw.randbytes(32), now=0.0)
        self.cities = load("backbone-16").sites
        self.access = load("hefei-metro").sites
        reservations = Reservations()
        self.sharing = {site: Sharing(reservations) for site in self.topology.sites}
        self.stock: Counter[tuple[str, str]] = Counter()
        self.tally = Tally(attempts)
        self.lowest = {state.link.name: 1.0 for state in self.network.states}
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        for number in range(attempts):
            self._at(self.draw.uniform(0, seconds), self._attempt(number))
        self._at(0.0, self._sample)

    def run(self) -> Tally:
        """Until the time is over."""
        while self._events and self._events[0][0] <= self.seconds:
            now, _, event = heapq.heappop(self._events)
            event(now)
        return self.tally

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _attempt(self, number: int) -> Callable[[float], None]:
        def attempt(now: float) -> None:
            source, target = self._pair()
            call = Call(number, source, target, now + self.draw.expovariate(1 / HOLDING))
            try:
                self._key(call, now)
            except NoKeyMaterial as refused:
                self.tally.blocked[refused.code] += 1
                return
            self.tally.running += 1
            self.tally.most = max(self.tally.most, self.tally.running)
            self._next(call, now)

        return attempt

    def _next(self, call: Call, now: float, after: float | None = None) -> None:
        due = now + (INTERVAL * self.draw.uniform(0.9, 1.1) if after is None else after)
        if due >= call.ends:
            self._at(call.ends, self._end)
        else:
            self._at(due, lambda at: self._rekey(call, at))

    def _rekey(self, call: Call, now: float) -> None:
        try:
            self._key(call, now)
        except NoKeyMaterial:
            if call.failing_since is None:
                self.tally.late += 1
                call.failing_since = now
            if now - call.failing_since > EPOCH_GRACE:
                self.tally.dropped += 1
                self._end(now)
            else:
                self._next(call, now, RETRY)
            return
        call.failing_since = None
        self._next(call, now)

    def _end(self, now: float) -> None:
        self.tally.running -= 1

    def _key(self, call: Call, now: float) -> None:
        """One end key for a call: a fair share of what there is, out of the pair's stock or relayed now."""
        pair, sae = (call.source, call.target), f"call-{call.number}"
        sharing = self.sharing[call.source]
        sharing.admit(sae, call.target, 1, lambda: self._budget(pair, now), now)
        try:
            if self.stock[pair]:
                self.stock[pair] -= 1
            else:
                self._relay(pair, now)
        except NoKeyMaterial:
            sharing.failed(sae, call.target)
            raise
        sharing.took(sae, call.target, 1, now)
        try:
            while self.stock[pair] < FIRST_STOCK:
                self._relay(pair, now)
                self.stock[pair] += 1
        except NoKeyMaterial:
            return

    def _budget(self, pair: tuple[str, str], now: float) -> tuple[int, tuple[WayLink, ...]]:
        way = self.network.way(*pair, now)
        return int(min((link.left for link in way), default=0.0)) + self.stock[pair], way

    def _relay(self, pair: tuple[str, str], now: float) -> None:
        key, key_id = self.draw.randbytes(32), str(self.tally.keys)
        relayed = self.network.relay(*pair, key_id, key, now, entropy=self.draw.randbytes)
        assert relayed.key == key
        self.tally.keys += 1
        self.tally.hops += len(relayed.hops)

    def _pair(self) -> tuple[str, str]:
        kind = self.draw.random()
        if kind < 0.5:
            one, other = self.draw.sample(self.access, 2)
        elif kind < 0.75:
            one, other = self.draw.choice(self.access), self.draw.choice(self.cities)
        else:
            one, other = self.draw.sample(self.cities, 2)
        return (one, other) if self.draw.random() < 0.5 else (other, one)

    def _sample(self, now: float) -> None:
        shares = []
        for state in self.network.states:
            share = state.ends[0].level(now) / state.ends[0].capacity
            shares.append(share)
            self.lowest[state.link.name] = min(self.lowest[state.link.name], share)
        self.tally.levels.append((now, sum(shares) / len(shares), min(shares)))
        self._at(now + SAMPLE, self._sample)

    def hottest(self, count: int) -> list[dict[str, Any]]:
        """The links that were used most, as a share of what they made while it lasted."""
        rows = []
        for state in self.network.states:
            end = state.ends[0]
            rows.append(
                {
                    "link": state.link.name,
                    "km": state.link.km,
                    "kbps": end.rate / 1000,
                    "used": end.spent_bits / (end.rate * self.seconds),
                    "lowest": self.lowest[state.link.name],
                }
            )
        return sorted(rows, key=lambda row: float(row["used"]), reverse=True)[:count]


def main() -> None:
    """Simulate an hour, or a part of one, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=10_000, help="an hour")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    seconds = options.minutes * 60
    hour = BusyHour(round(options.attempts * seconds / HOUR), seconds, options.seed)
    tally = hour.run()
    found = {
        "attempts": tally.attempts,
        "blocked": dict(tally.blocked),
        "blocking": tally.blocked.total() / tally.attempts,
        "dropped": tally.dropped,
        "late": tally.late,
        "most": tally.most,
        "keys": tally.keys,
        "hops": tally.hops / tally.keys,
        "levels": tally.levels,
        "hottest": hour.hottest(10),
        "seconds": time.perf_counter() - began,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
