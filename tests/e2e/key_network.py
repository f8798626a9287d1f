"""A quantum network under test, over real mutual TLS, in two makes: one process, or a program for each node.

What tests do to it and see of it is the same. ``tests/relay/worlds.py`` has the like by virtual time.
"""

from __future__ import annotations

import abc
import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from qcall.errors import Unavailable
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode, sae_key_and_request
from relay.config import RelayHome
from relay.kme.audit import AuditLog
from relay.network.faults import understood
from relay.network.sites import KeySites
from relay.network.topology import kme_id, load
from relay.pki import Authority
from relay.processes import AUDIT_FILE, KeyProcesses
from scripts.demonstration.stage import BIN, Program, Stage

BUSY = 45.0
"""Seconds for what takes two at most, on a machine that does other things."""
TOPOLOGY = """name = "triangle"
description = "modelled: two ways from a to b, and on to c; pools that fill in a second"
optics = "ghz"
sites = ["a", "b", "c"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "y", b = "a", km = 50 }, { a = "b", b = "y", km = 50 },
  { a = "b", b = "c", km = 20 },
]
"""


USUAL, OTHER = ("a", "x", "b"), ("a", "y", "b")


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait for it; a key node that has no key meanwhile is asked again."""
    limit = time.monotonic() + BUSY
    while True:
        try:
            if await holds():
                return
        except Unavailable:
            if time.monotonic() > limit:
                raise
        assert time.monotonic() < limit, "it never came about"
        await asyncio.sleep(0.05)


async def sees(phone: KeyNode, other: KeyNode, path: tuple[str, ...], *faults: tuple[str, str, str]) -> bool:
    """Whether the key node of ``phone``, at one end of ``path``, tells of this way and these faults."""
    outlook = await phone.outlook(other.sae_id)
    assert outlook is not None
    told = tuple((*fault.link, fault.condition) for fault in outlook.faults)
    return sorted(told) == sorted(faults) and outlook.path in (path, path[::-1])


class KeyNetwork(abc.ABC):
    """The key nodes of three sites, the trusted nodes between them, and the SAEs that tests enrol."""

    keys: KeySites | KeyProcesses

    def __init__(self, theatre: Stage) -> None:
        self.theatre = theatre
        self.home = RelayHome(theatre.relay_home)
        self.home.create()
        self.authority = Authority.open_or_create(self.home.authority)
        self.file = theatre.directory / "triangle.toml"
        self.file.write_text(TOPOLOGY)
        self.topology = load(str(self.file))
        self.disturbed = True
        """Whether links may be other than up; so it is while nodes start."""
        self._watchers: list[KeyNode] = []
        self._numbers = itertools.count()
        self._phones: list[KeyNode] = []

    @abc.abstractmethod
    async def start(self) -> None:
        """Start every node."""

    @abc.abstractmethod
    def url(self, site: str) -> str:
        """Where the key node of a site listens."""

    @abc.abstractmethod
    async def restart(self, site: str) -> None:
        """End the key node of a site, as roughly as can be, and start it again with what it stored."""

    @abc.abstractmethod
    def audits(self) -> list[Path]:
        """The audit logs of all sites."""

    async def close(self) -> None:
        """End every connection of an SAE."""
        for phone in self._phones:
            await phone.close()

    async def well(self) -> None:
        """Mend everything, and wait until the sites know."""
        if self.disturbed:
            await self.fault("restore")
            self._watchers = self._watchers or [self.phone("watcher", "a"), self.phone("watcher", "b")]
            one, other = self._watchers
            await until(lambda: sees(one, other, USUAL))
            await until(lambda: sees(other, one, USUAL))
            self.disturbed = False

    async def fault(self, action: str, *names: str, share: float = 1.0) -> None:
        """What ``relay fault`` does."""
        self.disturbed = True
        asked = {"action": action, "names": list(names), "share": share}
        await self.keys.disturb(understood(asked, self.topology))

    def phone(self, name: str, site: str) -> KeyNode:
        """A phone of ours that nobody had before, enrolled at a site."""
        sae = f"sae-{name}-{next(self._numbers)}"
        key, request = sae_key_and_request()
        certificate = self.theatre.directory / f"{sae}.pem"
        certificate.write_bytes(self.authority.sign_sae_csr(request, sae, kme_id(site)))
        certificate.with_suffix(".key").write_bytes(key)
        phone = KeyNode(
            self.url(site), kme_id=kme_id(site), certificate=certificate,
            key=certificate.with_suffix(".key"), timeout=BUSY,
            authority=KnownAuthority(self.authority.ca_pem, self.authority.crl),
        )  # fmt: skip
        self._phones.append(phone)
        return phone

    async def plain(self, phone: KeyNode, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body of what the SAE of ``phone`` is told when it asks as any SAE may."""
        site = self.authority.home_of(phone.sae_id)
        assert site is not None
        certificate = self.theatre.directory / f"{phone.sae_id}.pem"
        context = self.authority.client_context(certificate, certificate.with_suffix(".key"))
        url = self.url(site.removeprefix(kme_id(""))) + "/api/v1/keys/" + path
        method = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body, ssl=context, server_hostname=site) as response,
        ):
            return response.status, await response.json()


class InOneProcess(KeyNetwork):
    """As ``relay serve`` runs it: servers of their own for three sites, and one network behind them."""

    async def start(self) -> None:
        self._audit = AuditLog(self.home.audit)
        await self._start({})

    async def _start(self, ports: dict[str, int]) -> None:
        self.keys: KeySites = await KeySites.start(
            self.topology, authority=self.authority, directory=self.home.key_nodes,
            node_keys=self.home.secret, host="127.0.0.1", ports=ports, clock=time.monotonic,
            entropy=os.urandom,
        )  # fmt: skip

    def url(self, site: str) -> str:
        return self.keys.url(site)

    async def restart(self, site: str) -> None:
        """There is no killing one node of a process: all of them end, and start again."""
        ports = {name: each.server.port for name, each in self.keys.sites.items()}
        await self.keys.close()
        await self._start(ports)

    def audits(self) -> list[Path]:
        return [self.home.audit]

    async def close(self) -> None:
        await super().close()
        await self.keys.close()
        self._audit.close()


class Programs(KeyNetwork):
    """A program ``relay kme --node`` for every node; faults and reports go over their control sockets."""

    async def start(self) -> None:
        self.programs: dict[str, Program] = {}
        self._urls: dict[str, str] = {}
        self.keys: KeyProcesses = KeyProcesses(self.home, self.topology)
        for node in self.topology.nodes:
            await self.run(node)

    async def run(self, node: str) -> None:
        """Start a node, at the address where its SAEs knew it."""
        address = self._urls.get(node, "https://127.0.0.1:0").removeprefix("https://")
        command = (BIN / "relay", "--home", self.home.directory, "kme", "--node", node)
        options = ("--topology", self.file, "--kme", address, "--json")
        program = self.programs[node] = await self.theatre.start(f"relay kme {node}", *command, *options)
        ready = await program.event("ready", limit=BUSY)
        self._urls |= ready.get("kme", {})

    async def kill(self, node: str) -> None:
        """kill -9."""
        self.disturbed = True
        program = self.programs[node]
        program.process.kill()
        await program.ended(limit=BUSY)

    def url(self, site: str) -> str:
        return self._urls[site]

    async def restart(self, site: str) -> None:
        await self.kill(site)
        await self.run(site)

    def audits(self) -> list[Path]:
        return [self.home.key_nodes / kme_id(site) / AUDIT_FILE for site in self.topology.sites]


MAKES: dict[str, Callable[[Stage], KeyNetwork]] = {"one process": InOneProcess, "processes": Programs}
