"""Composition root of a TURN server alone, which is also what a media worker of a relay is."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from relay.config import chosen_by, spelt
from relay.control import Arguments, Command, ControlServer
from relay.health import HealthServer
from relay.laboratory import Fibres, Laboratory
from relay.media import OwnMedia
from relay.metrics import Figures
from relay.options import PathOptions, hops, routes
from relay.turn.allocation import Quotas
from relay.turn.credentials import Credentials
from relay.turn.peers import IPNetwork
from relay.turn.udp import TurnServer


@dataclass(frozen=True, kw_only=True)
class TurnOptions:
    """What ``relay turn`` was told. Port 0 takes a free one."""

    listen: tuple[str, int]
    realm: str
    credentials: Credentials
    allow_peers: Sequence[IPNetwork]
    path: PathOptions | None
    relay_hosts: tuple[str, ...]
    quotas: Quotas
    tls: tuple[int, ssl.SSLContext] | None
    metrics: tuple[str, int] | None
    """Of the operator's HTTP port, if that is to be served."""
    alternate: tuple[str, int] | None
    """Where clients are sent while this server drains."""
    control: Path | None
    """Unix socket for status and faults: how a relay speaks to its worker."""
    chosen_by: str = "--listen"
    """The option behind ``listen``, for who has to choose another address."""


@dataclass(frozen=True)
class RunningTurn:
    """A TURN server that runs. ``ready``: where it can be reached, for ``--json``."""

    media: OwnMedia
    ready: dict[str, Any]


@asynccontextmanager
async def running_turn(options: TurnOptions) -> AsyncIterator[RunningTurn]:
    """Start every part, or none. Raises ``AddressInUse``, ``UsageError`` and ``StorageError``."""
    paths = None if options.path is None else routes(options.path)
    async with AsyncExitStack() as stack:
        with chosen_by(options.chosen_by if options.tls is None else f"{options.chosen_by} or --tls-port"):
            server = await TurnServer.start(
                *options.listen,
                realm=options.realm,
                credentials=options.credentials,
                allow_peers=options.allow_peers,
                routes=paths,
                relay_hosts=options.relay_hosts,
                quotas=options.quotas,
                tls=options.tls,
            )
        media = OwnMedia(server, paths, options.alternate)
        stack.push_async_callback(media.close)
        ready = {"event": "ready", "turn": spelt(server.address), "realm": options.realm}
        if server.tls_address is not None:
            ready["turns"] = spelt(server.tls_address)
        if options.metrics is not None:
            with chosen_by("--metrics"):
                health = await HealthServer.start(*options.metrics, partial(figures, server, media))
            stack.push_async_callback(health.close)
            ready["metrics"] = health.url
        if options.control is not None:
            commands: dict[str, Command] = {"status": partial(status, media), "expel": partial(expel, media)}
            if options.path is not None and paths is not None:
                fibres = Fibres(options.path.topology, paths, partial(hops, options=options.path))
                commands["fault"] = Laboratory(options.path.topology, None, [fibres])
            control = await ControlServer.start(options.control, commands)
            stack.push_async_callback(control.close)
        yield RunningTurn(media, ready)


async def status(media: OwnMedia, _: Arguments) -> dict[str, Any]:
    """What the server is doing, for the relay that it works for."""
    return media.report().as_json()


async def expel(media: OwnMedia, arguments: Arguments) -> None:
    """End what a user of the relay that it works for has here; see :meth:`TurnMachine.expel`."""
    await media.expel(str(arguments["user"]), float(arguments["until"]))


async def figures(server: TurnServer, media: OwnMedia) -> Figures:
    """What ``/metrics`` shows."""
    report = media.report()
    return Figures(
        turn=report.counters,
        busy=report.busy,
        full=report.full,
        draining=server.draining,
        hops=report.hops,
    )
