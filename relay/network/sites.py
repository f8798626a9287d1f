"""The key nodes of all access sites, joined by one network in this process: simulated links, real servers."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.kme.commit import GroupCommit
from relay.kme.http import KmeServer, serve_kme
from relay.kme.keystore import SqliteKeyStore
from relay.kme.reservations import Reservations
from relay.kme.service import DEFAULT_LIMITS, KeyService, Limits
from relay.pki import Authority
from relay.trust import reached_at

from . import report
from .faults import FaultRequest, apply, void
from .network import Network
from .node import Observer
from .supply import LocalCarrier, StockedSupply
from .topology import Topology, kme_id

__all__ = ["KeySites", "Site", "kme_id"]


@dataclass(frozen=True, slots=True)
class Site:
    """One access site: its key node's server, store and supply."""

    name: str
    server: KmeServer
    store: SqliteKeyStore
    supply: StockedSupply

    @property
    def kme_id(self) -> str:
        return kme_id(self.name)


class KeySites:
    """A running quantum key network: :attr:`network` and one key node per access site."""

    def __init__(self, network: Network, sites: Mapping[str, Site], clock: Callable[[], float]) -> None:
        self.network = network
        self.sites = sites
        self._clock = clock

    @classmethod
    async def start(
        cls,
        topology: Topology,
        *,
        authority: Authority,
        directory: Path,
        node_keys: Callable[[str], bytes],
        host: str,
        ports: Mapping[str, int],
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        home_of: Callable[[str], str | None] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> KeySites:
        """Start a key node for every access site of ``topology``, listening on ``host``.

        ``directory`` holds certificate and store of each; ``node_keys`` gives the 32-byte key that the store
        of a KME ID is encrypted under; ``ports`` may name a port by site (default: a free one). ``home_of``
        maps SAE ID to KME ID and is the authority's record unless given. Nothing is left running when this
        fails.
        """
        reservations = Reservations()
        network = Network(topology, seed=entropy(32), now=clock())
        nodes = {kme_id(site): site for site in topology.sites}
        stores: dict[str, SqliteKeyStore] = {}
        commit = GroupCommit(stores)
        started: dict[str, Site] = {}
        try:
            for kme, site in nodes.items():
                files = authority.kme_files(directory / kme, kme, reached_at(host))
                stores[kme] = SqliteKeyStore(directory / kme / "keys.db", node_keys(kme))
                started_context = authority.server_context(*files)
                carrier = LocalCarrier(kme, network, stores, nodes, clock)
                supply = StockedSupply(stores[kme], carrier, entropy=entropy)
                service = KeyService(
                    kme, site, stores[kme], supply,
                    home_of=home_of or authority.home_of, entropy=entropy, limits=limits,
                    reservations=reservations,
                    saw=functools.partial(network.saw, site),
                )  # fmt: skip
                server = await serve_kme(
                    service, host=host, port=ports.get(site, 0), context=started_context,
                    revoked=authority.revoked, upkeep=_upkeep(stores[kme], supply),
                    commit=commit,
                )  # fmt: skip
                started[site] = Site(site, server, stores[kme], supply)
        except BaseException:
            for each in started.values():
                await each.server.close()
            for store in stores.values():
                store.close()
            raise
        return cls(network, started, clock)

    async def disturb(self, request: FaultRequest) -> None:
        """Do it to the network; keys that came over a link which is not to be trusted are void."""
        fresh = request.action == "compromise" and request.names[0] not in self.network.captured
        apply(request, self.network, self._clock())
        if fresh and (taken := self.sites.get(request.names[0])) is not None:
            held = taken.store.contents()
            self.network.captured[taken.name] += [(key.key_id, key.key) for key in held]
        for site in self.sites.values():
            void(request, self.network.topology, site.store)

    async def report(self) -> dict[str, Any]:
        """The network as ``relay status`` shows it."""
        return report.status(self.network, self._clock())

    def observe(self, on_key: Observer, on_request: Callable[[str, str, str, bytes], None]) -> None:
        """Let both see all that trusted nodes and key nodes see."""
        self.network.observe(on_key)
        for site in self.sites.values():
            site.server.tap = on_request

    def url(self, site: str) -> str:
        """Where the key node of a site listens."""
        return self.sites[site].server.url

    async def close(self) -> None:
        """Stop every key node and close its store."""
        for site in self.sites.values():
            await site.server.close()
            site.store.close()


def _upkeep(store: SqliteKeyStore, supply: StockedSupply) -> Callable[[float], Awaitable[bool]]:
    async def upkeep(now: float) -> bool:
        store.expire(now)
        return await supply.top_up(now)

    return upkeep
