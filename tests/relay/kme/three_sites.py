"""Three key nodes and their SAEs, over a network under test by virtual time."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from typing import Any

from relay.kme.exchange import Reply, Request
from relay.kme.service import KeyService, Limits
from relay.network.news import REFRESH_SECONDS
from relay.network.supply import StockedSupply
from relay.network.topology import kme_id, parse
from tests.relay.worlds import World

TEXT = """
name = "triangle"
description = "modelled"
sites = ["a", "b", "c"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "a", b = "y", km = 50 }, { a = "y", b = "b", km = 50 },
  { a = "b", b = "c", km = 40 },
]
"""
TOPOLOGY = parse(TEXT, "test")
SAES = {"alice": "kme-a", "anna": "kme-a", "bob": "kme-b", "berta": "kme-b", "carol": "kme-c"}


class ThreeSites:
    """Three key nodes and the network between them; ``now`` is the clock of both."""

    def __init__(
        self, network: World, limits: Limits, *, entropy: Callable[[int], bytes] | None = None
    ) -> None:
        self.network = network
        self.stores = network.stores
        entropy = entropy or random.Random(1).randbytes
        self.supplies = {
            kme: StockedSupply(self.stores[kme], carrier, entropy=entropy)
            for kme, carrier in network.carriers.items()
        }
        self.services = {
            kme_id(site): KeyService(
                kme_id(site), site, self.stores[kme_id(site)], self.supplies[kme_id(site)],
                home_of=SAES.get, entropy=entropy, limits=limits,
                saw=functools.partial(network.saw, site), reservations=network.reservations(site),
            )
            for site in TOPOLOGY.sites
        }  # fmt: skip

    @property
    def now(self) -> float:
        return self.network.now

    @now.setter
    def now(self, now: float) -> None:
        self.network.now = now

    async def each_link(self, action: str, share: float = 1.0) -> None:
        """Disturb every link."""
        for link in TOPOLOGY.links:
            await self.network.disturb(action, link.a, link.b, share=share)

    async def left_with(self, keys: int, *links: tuple[str, str]) -> None:
        """Nothing is in any pool but some keys in those of ``links``, no more is made, and all know."""
        await self.each_link("eve", 0.2)
        await self.each_link("drain")
        self.pace(keys * 512.0, *links)
        self.now += 1
        self.pace(0.0, *links)
        self.now += REFRESH_SECONDS
        await self.network.settle()

    def pace(self, rate: float, *links: tuple[str, str]) -> None:
        """Let links make so many bits a second."""
        for link in links:
            for end in self.network.ends(*link):
                end.set_rate(rate, self.now)

    async def ask(
        self, sae: str, path: str, body: object = None, *, method: str = "", kme: str = ""
    ) -> Reply:
        """What ``sae``'s own key node answers; POST when there is a body."""
        path, _, query = path.partition("?")
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(
            method or ("GET" if body is None else "POST"), f"/api/v1/keys/{path}", query, raw, sae
        )
        return await self.services[kme or SAES.get(sae, "kme-a")].respond(request, self.now)

    async def ok(self, sae: str, path: str, body: object = None) -> Any:
        reply = await self.ask(sae, path, body)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    async def refused(self, status: int, sae: str, path: str, body: object = None, **more: str) -> str:
        """The message of a refusal, which always has a JSON body."""
        reply = await self.ask(sae, path, body, **more)
        assert reply.status == status, reply.body
        message = json.loads(reply.body)["message"]
        assert isinstance(message, str)
        return message

    async def key(self, master: str = "alice", slave: str = "bob", **asked: Any) -> dict[str, Any]:
        made: dict[str, Any] = (await self.ok(master, f"{slave}/enc_keys", asked))["keys"][0]
        return made

    async def fetch(self, key_id: str, slave: str = "bob", master: str = "alice") -> dict[str, Any]:
        body = {"key_IDs": [{"key_ID": key_id}]}
        got: dict[str, Any] = (await self.ok(slave, f"{master}/dec_keys", body))["keys"][0]
        return got

    async def fill(self, kme: str = "kme-a") -> None:
        """Top the stock of every pair in use up."""
        while await self.supplies[kme].top_up(self.now):
            pass
