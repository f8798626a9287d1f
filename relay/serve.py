"""Composition root: everything between two phones, in one process.

signalling ─ accounts ─ authority        TURN ─ routes        key nodes ─ network of trusted nodes
                   one topology, one seed, one modelled path under voice, signalling and keys
"""

from __future__ import annotations

import functools
import itertools
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from qcall.wire.signalling import TurnCredentials
from relay.config import RelayHome, is_loopback, spelt
from relay.control import Arguments, Command, ControlServer
from relay.errors import UsageError
from relay.health import HealthServer
from relay.kme.audit import AuditLog
from relay.laboratory import Laboratory
from relay.metrics import Figures
from relay.network.sites import KeySites, kme_id
from relay.network.topology import Topology
from relay.path.model import Burst, Hop, HopStatistics
from relay.path.routes import Routes
from relay.pki import Authority
from relay.processes import KeyProcesses
from relay.signalling.accounts import Accounts
from relay.signalling.websocket import Services, SignallingServer, SiteInfo
from relay.turn.allocation import Quotas
from relay.turn.credentials import SharedSecret
from relay.turn.tls import tls_context
from relay.turn.udp import TurnServer, WireEvent
from relay.wiretap import Wiretap

TURN_LIFETIME = 86_400.0
"""Seconds that TURN credentials are good for; phones get fresh ones with their heartbeats."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``relay serve`` was told. Port 0 takes a free one. ``loss`` is a probability from site to site."""

    topology: Topology
    listen: tuple[str, int]
    turn: tuple[str, int]
    kme: tuple[str, int] | None = None
    """Of the first site's key node; the next ports belong to the other sites. Default: free ports."""
    realm: str = "qcall"
    seed: int | None = None
    loss: float = 0.0
    burst: float = 1.0
    """Packets that are lost in a row, in the mean; 1: every loss is independent of the one before."""
    jitter: float | None = None
    record: Wiretap | None = None
    processes: str = ""
    """What names the topology, when every node is to be a process of its own."""
    metrics: tuple[str, int] = ("127.0.0.1", 0)
    relay_hosts: tuple[str, ...] = ()
    """Where relayed addresses are, one of a family at most; default: the host of ``turn``."""
    quotas: Quotas = field(default_factory=Quotas)
    tls_port: int | None = None
    """Of TURN over TLS, if that is to be served."""
    tls_files: tuple[Path, Path] | None = None
    """Its certificate and key; default: from the relay's own authority."""
    alternate: tuple[str, int] | None = None
    """Where TURN clients are sent while this relay drains."""


class Stopping(Protocol):
    """How a relay is told to end."""

    async def drained(self) -> bool:
        """Wait until it has to; true when what lives may go on first."""

    async def unless(self, finished: Coroutine[Any, Any, Any]) -> None:
        """Wait for ``finished``, or until there is no time left."""


class RunningRelay:
    """A relay that serves; made by ``start``, ended by ``close``."""

    def __init__(self, home: RelayHome, options: Options) -> None:
        self._home = home
        self._options = options
        self._stack = AsyncExitStack()
        self._turn_secret = SharedSecret(home.secret("turn"))
        self.authority = Authority.open_or_create(home.authority)
        self.routes = routes(options)
        self.keys: KeySites | KeyProcesses
        self._keys_report: dict[str, Any] = {}
        self.turn: TurnServer
        self.signalling: SignallingServer
        self.health: HealthServer
        self.commands: dict[str, Command] = {"status": self._status}
        """What the control socket offers; every part of the relay may add its own."""
        self.sections: dict[str, Callable[[], Any]] = {
            "relay": self._relay_section,
            "turn": self._turn_section,
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
        """End every part, the last one first."""
        await self._stack.aclose()

    async def _start(self) -> None:
        options, record = self._options, self._options.record
        host, port = options.kme or (options.listen[0], 0)
        sites = options.topology.sites
        ports = {site: port + place for place, site in enumerate(sites)} if port else {}
        if not options.processes:  # nodes in processes of their own write one each
            self._stack.callback(AuditLog(self._home.audit).close)
        if options.processes:
            self.keys = await KeyProcesses.start(self._home, options.topology, options.processes, host, ports)
        else:
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
        self.turn = await TurnServer.start(
            *options.turn,
            realm=options.realm,
            credentials=self._turn_secret,
            routes=self.routes,
            relay_hosts=options.relay_hosts,
            quotas=options.quotas,
            tls=None if options.tls_port is None else (options.tls_port, self._turn_tls()),
            wiretap=None if record is None else self._on_wire,
        )
        self._stack.push_async_callback(self.turn.close)
        accounts = Accounts(self._home.accounts, self.authority.fingerprint)
        self._stack.callback(accounts.close)
        self.signalling = await SignallingServer.start(
            *options.listen,
            accounts=accounts,
            services=Services(self.authority.sign_sae_csr, self._site_info, self._turn_credentials),
            ca=self.authority.ca_pem,
            routes=self.routes,
            ssl_context=self._tls(options.listen[0]),
            busy=self._is_busy,
            tap=None if record is None else self._on_frame,
        )
        self._stack.push_async_callback(self.signalling.close)
        if record is not None:
            self.keys.observe(self._on_end_key, self._on_key_request)
        self.commands["fault"] = Laboratory(
            options.topology, self.keys, self.routes, functools.partial(hops, options=options)
        )
        self.health = await HealthServer.start(*options.metrics, self._figures)
        self._stack.push_async_callback(self.health.close)
        control = await ControlServer.start(self._home.control, self.commands)
        self._stack.push_async_callback(control.close)

    def drain(self) -> None:
        """Take no new calls and no new allocations; those that live go on."""
        self.turn.drain(self._options.alternate)

    def _is_busy(self) -> bool:
        return self.turn.draining or self.turn.admission.full

    def ready(self) -> dict[str, Any]:
        """Every address, and the path between the first and the last site, for ``--json``."""
        topology = self._options.topology
        first, last = topology.sites[0], topology.sites[-1]
        path = self.routes.between(first, last)
        turns = self.turn.tls_address
        return {
            "event": "ready",
            "signalling": self.signalling.url,
            "turn": spelt(self.turn.address),
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

    async def _status(self, _: Arguments) -> dict[str, Any]:
        self._keys_report = await self.keys.report()
        return {name: section() for name, section in self.sections.items()}

    def _relay_section(self) -> dict[str, Any]:
        return {
            "topology": self._options.topology.name,
            "draining": self.turn.draining,
            "full": self.turn.admission.full,
            "busy": round(self.turn.admission.busy, 3),
            "flows": self.turn.shortcuts,
            "simulated": True,
        }

    def _turn_section(self) -> dict[str, Any]:
        return self.turn.counters.as_json()

    def _signalling_section(self) -> dict[str, Any]:
        return {"phones": len(self.signalling.directory), **self.signalling.counters}

    def _paths_section(self) -> list[dict[str, Any]]:
        """Every modelled direction that was used: its length, and how many packets in a row it lost."""
        return [
            {
                "from": source,
                "to": target,
                "km": round(path.km, 1),
                "delay_ms": round(1000 * path.propagation, 3),
                "loss_runs": {str(length): count for length, count in sorted(path.loss_runs.items())},
            }
            for (source, target), path in self.routes.items().items()
            if any(counted != HopStatistics() for counted in path.statistics.values())
        ]

    def _hops_section(self) -> list[dict[str, Any]]:
        """What crossed each hop of the modelled paths, where something did."""
        return [
            {"from": source, "to": target, "hop": hop, **asdict(counted)}
            for (source, target), path in self.routes.items().items()
            for hop, counted in path.statistics.items()
            if counted != HopStatistics()
        ]

    async def _figures(self) -> Figures:
        """What ``/metrics`` shows."""
        keys = await self.keys.report()
        return Figures(
            turn=self.turn.counters,
            busy=self.turn.admission.busy,
            full=self.turn.admission.full,
            draining=self.turn.draining,
            phones=len(self.signalling.directory),
            signalling=self.signalling.counters,
            hops=self._hops_section(),
            keys_relayed=keys["keys_relayed"],
            relays_rejected=keys["relays_rejected"],
            links=keys["links"],
        )

    def _keys_section(self) -> dict[str, Any]:
        return {name: value for name, value in self._keys_report.items() if name != "links"}

    def _links_section(self) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = self._keys_report["links"]
        return links

    def _site_info(self, site: str) -> SiteInfo:
        return SiteInfo(kme_id(site), self.keys.url(site), self.authority.ca_pem)

    def _turn_credentials(self, name: str, site: str) -> TurnCredentials:
        now = time.time()
        username, password = self._turn_secret.mint(name, site, now, TURN_LIFETIME)
        return TurnCredentials(*self.turn.address, username, password, now + TURN_LIFETIME)

    def _tls(self, host: str) -> ssl.SSLContext | None:
        """TLS for phones that come from outside; who they are they prove by their signatures."""
        if is_loopback(host):
            return None
        files = self.authority.kme_files(self._home.directory / "signalling", "relay", [host])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*files)
        return context

    def _turn_tls(self) -> ssl.SSLContext:
        files = self._options.tls_files or self.authority.kme_files(
            self._home.directory / "turn", "relay", [self._options.turn[0]]
        )
        return tls_context(*files)

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


def routes(options: Options) -> Routes:
    """The modelled path between every two sites, over the hops that the keys take as well."""
    topology = options.topology
    seed = secrets.randbits(64) if options.seed is None else options.seed
    pairs = itertools.combinations(topology.sites, 2)
    usual = {pair: topology.hops(topology.path(*pair)) for pair in pairs}
    return Routes({pair: hops(named, options) for pair, named in usual.items()}, seed=seed)


def hops(named: Sequence[tuple[str, float]], options: Options) -> list[Hop]:
    """The hops of one path; the loss from end to end is spread evenly over them."""
    loss = 1 - (1 - options.loss) ** (1 / len(named))
    made = [Hop(name, km, loss=loss) for name, km in named]
    if options.burst > 1 and loss > 0:
        leave = 1 / options.burst
        burst = Burst(enter=loss * leave / (1 - loss), leave=leave)
        made = [replace(hop, loss=0.0, burst=burst) for hop in made]
    if options.jitter is None:
        return made
    # Independent hops: their variances add up.
    each = options.jitter / len(named) ** 0.5
    return [replace(hop, jitter=each) for hop in made]


async def serve(home: RelayHome, options: Options, announce: Any, stop: Stopping) -> None:
    """Run a relay until ``stop``; ``announce`` gets its ``ready`` object."""
    if not 0 <= options.loss < 1:
        raise UsageError(f"--loss {options.loss:g}: a probability from 0 to below 1, such as 0.05")
    if not options.burst >= 1:
        raise UsageError(f"--burst {options.burst:g}: packets lost in a row, 1 or more")
    relay = await RunningRelay.start(home, options)
    try:
        announce(relay.ready())
        if await stop.drained():
            relay.drain()
            await stop.unless(relay.turn.emptied())
    finally:
        await relay.close()
