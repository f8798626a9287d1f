"""Composition root: everything between two phones, in one process.

signalling ─ accounts ─ authority        TURN ─ routes        key nodes ─ network of trusted nodes
                   one topology, one seed, one modelled path under voice, signalling and keys
"""

from __future__ import annotations

import functools
import math
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from qcall.wire.signalling import TurnCredentials
from relay.config import RelayHome, chosen_by, is_loopback, spelt
from relay.control import Arguments, Command, ControlServer
from relay.errors import UsageError
from relay.health import HealthServer
from relay.kme.audit import AuditLog
from relay.laboratory import Fibres, Laboratory, Voice
from relay.media import OwnMedia, Rows
from relay.metrics import Figures
from relay.network.sites import KeySites, kme_id
from relay.options import Options, hops, routes, worker_options
from relay.pki import Authority
from relay.processes import KeyProcesses
from relay.signalling.accounts import Accounts
from relay.signalling.websocket import Services, SignallingServer, SiteInfo
from relay.turn.credentials import SharedSecret
from relay.turn.tls import tls_context
from relay.turn.udp import TurnServer, WireEvent
from relay.workers import Workers

ENDS = 2
"""Allocations of a call."""
TURN_LIFETIME = 86_400.0
"""Seconds that TURN credentials are good for; phones get fresh ones with their heartbeats."""


class Stopping(Protocol):
    """How a relay is told to end."""

    async def drained(self) -> bool:
        """Wait until it has to; true when what lives may go on first."""

    async def unless(self, finished: Coroutine[Any, Any, Any]) -> bool:
        """Wait for ``finished``, or until there is no time left; whether it is finished."""


class RunningRelay:
    """A relay that serves; made by ``start``, ended by ``close``."""

    def __init__(self, home: RelayHome, options: Options) -> None:
        self._home = home
        self._options = options
        self._stack = AsyncExitStack()
        self._secret = home.secret("turn").hex().encode()
        self.authority = Authority.open_or_create(home.authority)
        self.routes = routes(options)
        self.keys: KeySites | KeyProcesses
        self._keys_report: dict[str, Any] = {}
        self.media: OwnMedia | Workers
        self._draining = False
        self.signalling: SignallingServer
        self.health: HealthServer
        self._told: dict[str, Command] = {}
        """What the control socket offers, while every part runs."""
        self.sections: dict[str, Callable[[], Any]] = {
            "relay": self._relay_section,
            "turn": self._turn_section,
            "workers": self._workers_section,
            "signalling": self._signalling_section,
            "paths": self._paths_section,
            "hops": self._hops_section,
            "keys": self._keys_section,
            "links": self._links_section,
        }
        """What ``relay status`` shows, in order: a mapping, or a list of mappings with the same keys."""

    @classmethod
    async def start(cls, home: RelayHome, options: Options) -> Self:
        """Start every part, or none. Raises ``AddressInUse``, ``UsageError`` and ``StorageError``."""
        home.create()
        relay = cls(home, options)
        try:
            await relay._start()
        except BaseException:
            await relay.close()
            raise
        return relay

    async def close(self) -> None:
        """End every part, the last one first; the home is another relay's to have when all have ended."""
        self._told.clear()
        await self._stack.aclose()

    async def _start(self) -> None:
        options, record = self._options, self._options.record
        # Before anything else: it also says whether another relay has this home.
        control = await ControlServer.start(self._home.control, self._told)
        self._stack.push_async_callback(control.close)
        host, port = options.kme or (options.listen[0], 0)
        sites = options.topology.sites
        ports = {site: port + place for place, site in enumerate(sites)} if port else {}
        if not options.processes:  # nodes in processes of their own write one each
            self._stack.callback(AuditLog(self._home.audit).close)
        if options.processes:
            self.keys = await KeyProcesses.start(self._home, options.topology, options.source, host, ports)
        else:
            with chosen_by("--listen" if options.kme is None else "--kme"):
                self.keys = await KeySites.start(
                    options.topology,
                    authority=self.authority,
                    directory=self._home.key_nodes,
                    node_keys=self._home.secret,
                    host=host,
                    ports=ports,
                    clock=time.monotonic,
                    entropy=secrets.token_bytes,
                )
        self._stack.push_async_callback(self.keys.close)
        fibres = Fibres(options.topology, self.routes, functools.partial(hops, options=options))
        voices: list[Voice] = [fibres]
        self.media = await (self._own_media() if options.workers == 1 else self._workers())
        if isinstance(self.media, Workers):
            voices.append(self.media)
        self._stack.push_async_callback(self.media.close)
        accounts = Accounts(self._home.accounts, self.authority.fingerprint)
        self._stack.callback(accounts.close)
        with chosen_by("--listen"):
            self.signalling = await SignallingServer.start(
                *options.listen,
                accounts=accounts,
                services=Services(
                    self.authority.sign_sae_csr,
                    self._site_info,
                    self._turn_credentials,
                    self.authority.fresh_revocations,
                ),
                ca=self.authority.ca_pem,
                routes=self.routes,
                ssl_context=self._tls(options.listen[0]),
                busy=lambda call_id: self._draining or not self.media.takes(call_id),
                tap=None if record is None else self._on_frame,
            )
        self._stack.push_async_callback(self.signalling.close)
        if record is not None:
            self.keys.observe(self._on_end_key, self._on_key_request)
        with chosen_by("--metrics"):
            self.health = await HealthServer.start(*options.metrics, self._figures)
        self._stack.push_async_callback(self.health.close)
        laboratory = Laboratory(options.topology, self.keys, voices)
        self._told |= {
            "status": self._status,
            "ready": self._ready,
            "expel": self._expel,
            "fault": laboratory,
        }

    def drain(self) -> dict[str, Any]:
        """Take no new calls and no new allocations; those that live go on: how many that are."""
        self._draining = True
        self.media.drain()
        left = self.media.report().counters.allocations
        return {"event": "draining", "allocations": left, "calls": math.ceil(left / ENDS)}

    def ready(self) -> dict[str, Any]:
        """Every address, and the path between the first and the last site, for ``--json``."""
        topology = self._options.topology
        first, last = topology.sites[0], topology.sites[-1]
        path = self.routes.between(first, last)
        turns = self.media.tls_address
        addresses = list(map(spelt, self.media.addresses))
        return {
            "event": "ready",
            "signalling": self.signalling.url,
            "turn": addresses[0],
            **({} if len(addresses) == 1 else {"workers": addresses}),
            **({} if turns is None else {"turns": spelt(turns)}),
            "metrics": self.health.url,
            "kme": {site: self.keys.url(site) for site in topology.sites},
            "topology": topology.name,
            "sites": list(topology.sites),
            "path": {
                "nodes": list(topology.path(first, last)),
                "km": round(path.km, 1) if path else 0.0,
                "delay_ms": round(1000 * path.propagation, 3) if path else 0.0,
            },
            "simulated": True,
        }

    async def _ready(self, _: Arguments) -> dict[str, Any]:
        return self.ready()

    async def _status(self, _: Arguments) -> dict[str, Any]:
        self._keys_report = await self.keys.report()
        return {name: section() for name, section in self.sections.items()}

    async def _expel(self, arguments: Arguments) -> dict[str, Any]:
        """End what somebody who is enrolled no more does here; says whether their phone was online."""
        name = str(arguments.get("name"))
        await self.media.expel(name, time.time() + TURN_LIFETIME)
        return {"online": self.signalling.expel(name)}

    def _relay_section(self) -> dict[str, Any]:
        media = self.media.report()
        return {
            "topology": self._options.topology.name,
            "draining": self._draining,
            "full": media.full,
            "busy": round(media.busy, 3),
            "flows": media.flows,
            "simulated": True,
        }

    def _turn_section(self) -> dict[str, Any]:
        return self.media.report().counters.as_json()

    def _signalling_section(self) -> dict[str, Any]:
        return {"phones": len(self.signalling.directory), **self.signalling.counters}

    def _paths_section(self) -> Rows:
        return self.media.report().paths

    def _hops_section(self) -> Rows:
        return self.media.report().hops

    def _workers_section(self) -> Rows:
        return self.media.workers

    async def _figures(self) -> Figures:
        """What ``/metrics`` shows."""
        keys, media = await self.keys.report(), self.media.report()
        return Figures(
            turn=media.counters,
            busy=media.busy,
            full=media.full,
            draining=self._draining,
            phones=len(self.signalling.directory),
            signalling=self.signalling.counters,
            hops=media.hops,
            keys_relayed=keys["keys_relayed"],
            relays_rejected=keys["relays_rejected"],
            links=keys["links"],
        )

    def _keys_section(self) -> dict[str, Any]:
        return {name: value for name, value in self._keys_report.items() if name != "links"}

    def _links_section(self) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = self._keys_report["links"]
        return links

    def _site_info(self, site: str) -> SiteInfo | None:
        if site not in self._options.topology.sites:
            return None
        return SiteInfo(kme_id(site), self.keys.url(site), self.authority.ca_pem)

    def _turn_credentials(self, name: str, site: str) -> TurnCredentials:
        now = time.time()
        username, password = SharedSecret(self._secret).mint(name, site, now, TURN_LIFETIME)
        ports = [port for _, port in self.media.addresses]
        return TurnCredentials(
            *self.media.addresses[0],
            username,
            password,
            now + TURN_LIFETIME,
            workers=tuple(ports) if len(ports) > 1 else (),
        )

    def _tls(self, host: str) -> ssl.SSLContext | None:
        """TLS for phones that come from outside; who they are they prove by their signatures."""
        if is_loopback(host):
            return None
        files = self.authority.kme_files(self._home.directory / "signalling", "relay", [host])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*files)
        return context

    async def _own_media(self) -> OwnMedia:
        """TURN in this process."""
        options, tls_files = self._options, self._tls_files()
        with chosen_by("--turn" if tls_files is None else "--turn or --tls-port"):
            turn = await TurnServer.start(
                *options.turn,
                realm=options.realm,
                credentials=SharedSecret(self._secret),
                routes=self.routes,
                relay_hosts=options.relay_hosts,
                quotas=options.quotas,
                tls=None if tls_files is None else (options.tls_port or 0, tls_context(*tls_files)),
                wiretap=None if options.record is None else self._on_wire,
            )
        return OwnMedia(turn, self.routes, options.alternate)

    async def _workers(self) -> Workers:
        """TURN in processes of its own."""
        options = self._options
        if options.record is not None:
            raise UsageError("--record needs the media relay in this process; leave --workers out")
        tls_files = self._tls_files()
        return await Workers.start(
            self._home.directory,
            options.workers,
            listen=options.turn,
            options=lambda place: worker_options(options, tls_files, place),
            secret=self._secret,
            routes=self.routes,
        )

    def _tls_files(self) -> tuple[Path, Path] | None:
        """Certificate and key of TURN over TLS, if that is to be served."""
        if self._options.tls_port is None:
            return None
        return self._options.tls_files or self.authority.kme_files(
            self._home.directory / "turn", "relay", [self._options.turn[0]]
        )

    def _on_wire(self, event: WireEvent) -> None:
        assert self._options.record is not None
        client = "{}:{}".format(*event.five_tuple.client)
        self._options.record.write("turn", event.time, event.data, direction=event.direction, client=client)

    def _on_frame(self, now: float, direction: str, client: str, frame: bytes) -> None:
        assert self._options.record is not None
        self._options.record.write("signalling", now, frame, direction=direction, client=client)

    def _on_key_request(self, direction: str, sae_id: str, path: str, body: bytes) -> None:
        assert self._options.record is not None
        seen = {"direction": direction, "sae": sae_id, "path": path}
        self._options.record.write("kme", time.monotonic(), body, **seen)

    def _on_end_key(self, node: str, key_id: str, key: bytes) -> None:
        assert self._options.record is not None
        self._options.record.write("end-key", time.monotonic(), key, node=node, key_id=key_id)


async def serve(home: RelayHome, options: Options, announce: Any, stop: Stopping) -> None:
    """Run a relay until ``stop``; ``announce`` is told when it is ready, drains, and has drained."""
    relay = await RunningRelay.start(home, options)
    try:
        announce(relay.ready())
        if await stop.drained():
            announce(relay.drain())
            if await stop.unless(relay.media.emptied()):
                announce({"event": "drained"})
    finally:
        await relay.close()
