"""Running the relay, or its TURN server alone."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from relay.config import host_port, spelt
from relay.errors import UsageError
from relay.network.topology import load
from relay.path.routes import Routes
from relay.serve import Options, routes
from relay.serve import serve as serve_all
from relay.turn.credentials import Credentials, SharedSecret, StaticUsers
from relay.turn.tls import tls_context
from relay.turn.udp import TurnServer
from relay.wiretap import Wiretap

from .app import Json, TopologyName, app
from .running import Stop, announce, print_json, run
from .turning import (
    USUAL,
    QuotaAllocations,
    QuotaBandwidth,
    QuotaChannels,
    QuotaPermissions,
    RelayAddresses,
    TlsCertificate,
    TlsKey,
    TlsPort,
    quotas,
    relay_addresses,
    tls_files,
)

LEAST_SECRET = 16
"""Bytes."""
Jitter = Annotated[
    float | None, typer.Option(help="Milliseconds: standard deviation of the path's delay.", min=0.0)
]
Alternate = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the TURN server that clients are sent to while this one drains."),
]


@app.command()
def serve(
    context: typer.Context,
    topology: TopologyName = "beijing-hefei",
    listen: Annotated[str, typer.Option(help="HOST:PORT of signalling.")] = "127.0.0.1:7480",
    turn: Annotated[str, typer.Option(help="HOST:PORT of the media relay.")] = "127.0.0.1:3478",
    kme: Annotated[
        str | None, typer.Option(help="HOST:PORT of the first site's key node; the others follow.")
    ] = None,
    loss: Annotated[float, typer.Option(help="Probability that a packet is lost from site to site.")] = 0.0,
    burst: Annotated[float, typer.Option(help="Packets lost in a row, in the mean; 1: at random.")] = 1.0,
    jitter: Jitter = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the modelled path; random if not given.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Record all that crosses the relay, as an attacker who owns it would.")
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="HOST:PORT of /metrics, /healthz and /readyz.")
    ] = "127.0.0.1:0",
    tls_port: TlsPort = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    relay_address: RelayAddresses = None,
    quota_allocations: QuotaAllocations = USUAL.allocations,
    quota_permissions: QuotaPermissions = USUAL.permissions,
    quota_channels: QuotaChannels = USUAL.channels,
    quota_bandwidth: QuotaBandwidth = None,
    alternate: Alternate = None,
    processes: Annotated[
        bool, typer.Option("--processes", help="Every trusted node a process of its own.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run signalling, media relay and key nodes in one process, or the nodes in processes of their own.

    Every request to a key node is in the home's audit.log (with --processes: in that of each site).
    """

    async def work(stop: Stop) -> None:
        chosen = Options(
            topology=load(topology),
            listen=host_port(listen, "--listen"),
            turn=host_port(turn, "--turn"),
            kme=None if kme is None else host_port(kme, "--kme"),
            metrics=host_port(metrics, "--metrics"),
            alternate=None if alternate is None else host_port(alternate, "--alternate"),
            loss=loss,
            burst=burst,
            jitter=None if jitter is None else jitter / 1000,
            seed=seed,
            tls_port=tls_port,
            tls_files=tls_files(tls_port, tls_cert, tls_key),
            relay_hosts=relay_addresses(relay_address or ()),
            quotas=quotas(quota_allocations, quota_permissions, quota_channels, quota_bandwidth),
            record=None if record is None else Wiretap(record),
            processes=topology if processes else "",
        )
        try:
            await serve_all(context.obj, chosen, announce(as_json), stop)
        finally:
            if chosen.record is not None:
                chosen.record.close()

    run(work, drains=True)


@app.command("turn")
def turn_alone(
    listen: Annotated[str, typer.Option(help="HOST:PORT.")] = "127.0.0.1:3478",
    realm: Annotated[str, typer.Option(help="Realm of the credentials.")] = "qcall",
    user: Annotated[list[str] | None, typer.Option(help="NAME:PASSWORD; may be given again.")] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="File of the secret behind names expiry:user or expiry:site:user.", metavar="FILE"),
    ] = None,
    allow_peer: Annotated[
        list[str] | None, typer.Option(help="CIDR of private peers that may be reached.", metavar="CIDR")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(help="Topology whose modelled path lies between the sites of --secret's users."),
    ] = None,
    jitter: Jitter = None,
    tls_port: TlsPort = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    relay_address: RelayAddresses = None,
    quota_allocations: QuotaAllocations = USUAL.allocations,
    quota_permissions: QuotaPermissions = USUAL.permissions,
    quota_channels: QuotaChannels = USUAL.channels,
    quota_bandwidth: QuotaBandwidth = None,
    alternate: Alternate = None,
    as_json: Json = False,
) -> None:
    """Run the TURN server alone, for any WebRTC client."""

    async def work(stop: Stop) -> None:
        elsewhere = None if alternate is None else host_port(alternate, "--alternate")
        credentials = who_may_log_in(user or [], secret)
        where = host_port(listen, "--listen")
        if path is not None and secret is None:
            raise UsageError("--path needs users with a site: give --secret FILE")
        files = tls_files(tls_port, tls_cert, tls_key)
        if tls_port is not None and files is None:
            raise UsageError("--tls-port needs a certificate: give --tls-cert and --tls-key")
        server = await TurnServer.start(
            *where,
            realm=realm,
            credentials=credentials,
            allow_peers=[network(text) for text in allow_peer or ()],
            routes=None if path is None else modelled(path, where, jitter),
            relay_hosts=relay_addresses(relay_address or ()),
            quotas=quotas(quota_allocations, quota_permissions, quota_channels, quota_bandwidth),
            tls=None if files is None or tls_port is None else (tls_port, tls_context(*files)),
        )
        try:
            ready = {"event": "ready", "turn": spelt(server.address), "realm": realm}
            if server.tls_address is not None:
                ready["turns"] = spelt(server.tls_address)
            announce(as_json)(ready)
            if await stop.drained():
                server.drain(elsewhere)
                await stop.unless(server.emptied())
        finally:
            await server.close()
            if as_json:
                print_json({"event": "ended", "turn": server.counters.as_json()})

    run(work, drains=True)


def modelled(name: str, where: tuple[str, int], jitter: float | None) -> Routes:
    """The paths of a topology."""
    each = None if jitter is None else jitter / 1000
    return routes(Options(topology=load(name), listen=where, turn=where, jitter=each))


def who_may_log_in(users: list[str], secret: Path | None) -> Credentials:
    """Either static users or those of a shared secret."""
    if bool(users) == (secret is not None):
        raise UsageError("say who may log in: either --user NAME:PASSWORD or --secret FILE")
    if secret is None:
        return StaticUsers.parse(users)
    try:
        shared = secret.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"--secret {secret}: {error.strerror}") from None
    if len(shared) < LEAST_SECRET:
        raise UsageError(
            f"--secret {secret}: fewer than {LEAST_SECRET} bytes can be guessed; make a longer one"
        )
    return SharedSecret(shared)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A CIDR from the command line."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise UsageError(f"--allow-peer {text}: give a network such as 127.0.0.0/8") from None
