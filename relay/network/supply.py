"""End keys for one key node: a stock for every site pair in use, and a carrier that relays more.

A pair in use keeps a small stock of end keys already relayed, so that a request need not wait for light to
cross every hop; as many as it lately used, because what nobody fetches has cost every link on its way. A
stock key exists at both ends; only the node that relayed it hands it out. The carrier is a network in this
process (:class:`LocalCarrier`) or nodes in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.errors import NoKeyMaterial
from relay.kme.keys import (
    ANY_PATH,
    MAX_WAITING,
    Assignment,
    EndKey,
    Fresh,
    KeyStore,
    NotHeld,
    Outlook,
    TooManyWaiting,
    Wish,
    fresh_key_id,
)
from relay.kme.reservations import WayLink

from .network import Network

STOCK = 16
"""End keys kept ready, at most, for a site pair in use."""
FIRST_STOCK = 2
"""At least: what a call's setup takes, and one to spare."""
IN_USE_SECONDS = 120.0
"""A pair is in use for so long after it was asked for: two rekeys. Its stock is what it used in that time."""
STOCK_LIFETIME = 3600.0
ASSIGNED_LIFETIME = 300.0
GROUP_ATTEMPTS = 2
"""Keys tried for a group at several sites."""
OWNER_MARGIN = 60.0
"""Seconds that the owner gives a stock key up earlier than the other side."""


class Carrier(Protocol):
    """The way from one key node to the others, named by KME ID. Times in unix seconds."""

    async def carry(
        self,
        target: str,
        key_id: str,
        key: bytes,
        wish: Wish,
        entropy: Callable[[int], bytes],
        now: float,
        again: Fresh | None = None,
    ) -> EndKey:
        """Relay an end key; ``target`` holds it as stock of this key node when this returns.

        ``again`` draws the key of a second attempt; without it there is one. Raises :class:`NoKeyMaterial`.
        """

    async def assign(self, target: str, keys: Sequence[Assignment], now: float) -> None:
        """Hand assignments to ``target``; raises :class:`NotHeld` or NoKeyMaterial."""

    def budget(self, target: str) -> tuple[int, float]:
        """End keys that the links could carry now, and a second from then on."""

    def way(self, target: str) -> Sequence[WayLink]:
        """The links that a key would cross now, full pools or not; none when there is no way."""

    def outlook(self, target: str) -> Outlook:
        """Which way a key would go now, and what is wrong on the shorter ones."""


@dataclass(slots=True)
class _Use:
    """Of a pair in use: when it was last asked for, and how many keys were taken since."""

    since: float
    at: float = 0.0
    taken: int = 0


class StockedSupply:
    """A :class:`~relay.kme.keys.Supply` out of ``store`` and ``carrier``."""

    def __init__(
        self, store: KeyStore, carrier: Carrier, *, entropy: Callable[[int], bytes], stock: int = STOCK
    ) -> None:
        self._store = store
        self._carrier = carrier
        self._entropy = entropy
        self._stock = stock
        self._use: dict[str, _Use] = {}

    def expect(self, target: str, number: int, now: float) -> None:
        """Let the pair have a stock for the use of ``number`` keys, as if they had been taken."""
        use = self._use.setdefault(target, _Use(now))
        if now - use.since > IN_USE_SECONDS:
            use.since, use.taken = now, 0
        use.at = now
        use.taken += number

    def stored(self, target: str, now: float) -> int:
        self.expect(target, 0, now)
        return self._store.count_stock(target, now)

    def budget(self, target: str, now: float) -> tuple[int, float]:
        left, rate = self._carrier.budget(target)
        return self._store.count_stock(target, now) + left, rate

    def way(self, target: str) -> Sequence[WayLink]:
        return self._carrier.way(target)

    def outlook(self, target: str) -> Outlook:
        return self._carrier.outlook(target)

    async def take(self, targets: Sequence[str], number: int, wish: Wish, now: float) -> list[EndKey]:
        first, *others = targets
        if others:
            return [await self._relay_to_all(targets, wish, now) for _ in range(number)]
        taken: list[EndKey] = []
        if wish == ANY_PATH:
            self.expect(first, number, now)
            taken = self._store.take_stock(first, number, now)
        try:
            while len(taken) < number:
                taken.append(await self._relay(first, wish, now))
        except NoKeyMaterial:
            self.give_back(first, taken)
            raise
        return taken

    def give_back(self, target: str, keys: Sequence[EndKey]) -> None:
        # A little sooner than the other side, which counts from when the key arrived there.
        for key in keys:
            expires = key.ready_at + STOCK_LIFETIME - OWNER_MARGIN
            self._store.add_stock(target, [key], owned=True, expires=expires)

    async def assign(self, target: str, keys: Sequence[Assignment], now: float) -> None:
        try:
            await self._carrier.assign(target, keys, now)
        except NotHeld:  # the other side lost its store: what is left of the stock is worth nothing
            self._store.clear_stock(target)
            raise NoKeyMaterial(f"{target} no longer holds the keys in stock; ask again") from None

    async def top_up(self, now: float) -> bool:
        """Relay one key for the stock that lacks most; whether there is more to do.

        One at a time, because others share the thread: voice would hear a whole stock being filled.
        """
        for idle in [target for target, use in self._use.items() if now - use.at > IN_USE_SECONDS]:
            del self._use[idle]
        lacking = {
            target: min(self._stock, max(FIRST_STOCK, use.taken)) - self._store.count_stock(target, now)
            for target, use in self._use.items()
        }
        for target in sorted(lacking, key=lacking.__getitem__, reverse=True):
            if lacking[target] <= 0:
                break
            try:
                fresh = await self._relay(target, ANY_PATH, now)
            except NoKeyMaterial:
                continue
            expires = now + STOCK_LIFETIME - OWNER_MARGIN
            self._store.add_stock(target, [fresh], owned=True, expires=expires)
            return True
        return False

    async def _relay(self, target: str, wish: Wish, now: float) -> EndKey:
        def fresh() -> tuple[str, bytes]:
            return fresh_key_id(self._entropy, now), self._entropy(32)

        return await self._carrier.carry(target, *fresh(), wish, self._entropy, now, fresh)

    async def _relay_to_all(self, targets: Sequence[str], wish: Wish, now: float) -> EndKey:
        """One key at several sites; when it does not reach them all, another one has to."""
        first, *others = targets
        for attempt in range(1, GROUP_ATTEMPTS + 1):
            key = await self._relay(first, wish, now)
            try:
                for other in others:
                    await self._carrier.carry(other, key.key_id, key.key, wish, self._entropy, now)
            except NoKeyMaterial:
                if attempt == GROUP_ATTEMPTS:
                    raise
            else:
                return key
        raise AssertionError("the last attempt returns or raises")


def room(store: KeyStore, keys: Sequence[Assignment], now: float) -> None:
    """Raise :class:`TooManyWaiting` when too many keys of a master wait in ``store`` for one more to wait."""
    for master in {key.master for key in keys}:
        if store.count_waiting(master, now) + len(keys) > MAX_WAITING:
            text = "too many keys of this SAE wait for their slaves; fetch them first"
            raise TooManyWaiting(text)


class LocalCarrier:
    """A :class:`Carrier` over a network in this process.

    ``stores`` are those of all key nodes by KME ID, ``nodes`` their nodes, ``clock`` the network's.
    """

    def __init__(
        self,
        kme_id: str,
        network: Network,
        stores: Mapping[str, KeyStore],
        nodes: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._kme_id = kme_id
        self._network = network
        self._stores = stores
        self._nodes = nodes
        self._clock = clock

    async def carry(
        self,
        target: str,
        key_id: str,
        key: bytes,
        wish: Wish,
        entropy: Callable[[int], bytes],
        now: float,
        again: Fresh | None = None,
    ) -> EndKey:
        relayed = self._network.relay(
            self._nodes[self._kme_id],
            self._nodes[target],
            key_id,
            key,
            self._clock(),
            wish=wish,
            entropy=entropy,
            again=again,
        )
        arrived = EndKey(
            relayed.key_id,
            relayed.key,
            relayed.paths,
            tuple(hop.qber for hop in relayed.hops),
            tuple(hop.age for hop in relayed.hops),
            now + relayed.delay,
        )
        self._stores[target].add_stock(self._kme_id, [arrived], owned=False, expires=now + STOCK_LIFETIME)
        return arrived

    async def assign(self, target: str, keys: Sequence[Assignment], now: float) -> None:
        path = self._network.topology.path(self._nodes[self._kme_id], self._nodes[target])
        arrives = now + self._network.topology.delay(path)
        room(self._stores[target], keys, now)
        self._stores[target].assign(self._kme_id, keys, ready_at=arrives, expires=now + ASSIGNED_LIFETIME)

    def budget(self, target: str) -> tuple[int, float]:
        return self._network.budget(self._nodes[self._kme_id], self._nodes[target], self._clock())

    def way(self, target: str) -> Sequence[WayLink]:
        return self._network.way(self._nodes[self._kme_id], self._nodes[target], self._clock())

    def outlook(self, target: str) -> Outlook:
        return self._network.outlook(self._nodes[self._kme_id], self._nodes[target], self._clock())
