"""End keys for one key node, out of a network that runs in this process.

Pairs of sites in use keep a small stock of end keys already relayed, so that a request need not wait for
light to cross every hop. A stock key exists at both ends; only the node that relayed it hands it out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from relay.errors import NoKeyMaterial
from relay.kme.keys import ANY_PATH, Assignment, EndKey, KeyStore, NotHeld, Wish

from .link import BLOCK_BITS
from .network import Network, Relayed

STOCK = 16
"""End keys kept ready for each site pair in use."""
STOCK_LIFETIME = 3600.0
ASSIGNED_LIFETIME = 300.0
OWNER_MARGIN = 60.0
"""Seconds that the owner gives a stock key up earlier than the other side."""


class NetworkSupply:
    """A :class:`~relay.kme.keys.Supply` for the key node ``kme_id`` at ``node``.

    ``stores`` are those of all key nodes in this process, by KME ID, and ``nodes`` their nodes. ``clock`` is
    the network's monotonic clock; the times of the interface are unix seconds.
    """

    def __init__(
        self,
        kme_id: str,
        network: Network,
        stores: Mapping[str, KeyStore],
        nodes: Mapping[str, str],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        stock: int = STOCK,
    ) -> None:
        self._kme_id = kme_id
        self._network = network
        self._stores = stores
        self._store = stores[kme_id]
        self._nodes = nodes
        self._clock = clock
        self._entropy = entropy
        self._stock = stock
        self._in_use: set[str] = set()

    def stored(self, target: str, now: float) -> int:
        self._in_use.add(target)
        return self._store.count_stock(target, now)

    def budget(self, target: str, now: float) -> tuple[int, float]:
        stock = self._store.count_stock(target, now)
        try:
            [path] = self._network.route(self._nodes[self._kme_id], self._nodes[target], self._clock())
        except NoKeyMaterial:
            return stock, 0.0
        ends = [self._network.state(a, b).ends[0] for a, b in pairwise(path)]
        pooled = min(end.level(self._clock()) for end in ends) // BLOCK_BITS
        return stock + int(pooled), min(end.rate for end in ends) / BLOCK_BITS

    async def take(self, targets: Sequence[str], number: int, wish: Wish, now: float) -> list[EndKey]:
        first, *others = targets
        taken: list[EndKey] = []
        if wish == ANY_PATH:
            self._in_use.add(first)
            taken = self._store.take_stock(first, number, now)
        taken += self._relay(first, number - len(taken), wish, now)
        for other in others:  # the same keys once more, to a second site
            for key in taken:
                self._carry(other, key.key_id, key.key, wish, now)
        return taken

    async def assign(self, target: str, keys: Sequence[Assignment], now: float) -> None:
        path = self._network.topology.path(self._nodes[self._kme_id], self._nodes[target])
        arrives = now + self._network.delay(path)
        try:
            self._stores[target].assign(self._kme_id, keys, ready_at=arrives, expires=now + ASSIGNED_LIFETIME)
        except NotHeld:  # the other side lost its store: what is left of the stock is worth nothing
            self._store.clear_stock(target)
            raise NoKeyMaterial(f"{target} no longer holds the keys in stock; ask again") from None

    def top_up(self, now: float) -> None:
        """Bring the stock of every pair in use back to its level, as far as the links have key."""
        for target in sorted(self._in_use):
            missing = self._stock - self._store.count_stock(target, now)
            fresh: list[EndKey] = []
            try:
                for _ in range(missing):
                    fresh += self._relay(target, 1, ANY_PATH, now)
            except NoKeyMaterial:
                pass
            if fresh:
                expires = now + STOCK_LIFETIME - OWNER_MARGIN
                self._store.add_stock(target, fresh, owned=True, expires=expires)

    def _relay(self, target: str, number: int, wish: Wish, now: float) -> list[EndKey]:
        """Fresh end keys, already held by ``target`` as guest stock of ours."""
        return [
            self._carry(
                target, str(uuid.UUID(bytes=self._entropy(16), version=4)), self._entropy(32), wish, now
            )
            for _ in range(number)
        ]

    def _carry(self, target: str, key_id: str, key: bytes, wish: Wish, now: float) -> EndKey:
        pads = [self._entropy(len(key)) for _ in range(wish.disjoint - 1)]
        source = self._nodes[self._kme_id]
        relayed = self._network.relay(
            source, self._nodes[target], key_id, key, self._clock(), wish=wish, pads=pads
        )
        arrived = _end_key(relayed, now)
        self._stores[target].add_stock(self._kme_id, [arrived], owned=False, expires=now + STOCK_LIFETIME)
        return arrived


def _end_key(relayed: Relayed, now: float) -> EndKey:
    return EndKey(
        relayed.key_id,
        relayed.key,
        relayed.paths,
        tuple(hop.qber for hop in relayed.hops),
        tuple(hop.age for hop in relayed.hops),
        now + relayed.delay,
    )
