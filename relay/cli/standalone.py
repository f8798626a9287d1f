"""Running the TURN server alone: for any WebRTC client, and as a media worker of a relay."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.config import host_port
from relay.errors import UsageError
from relay.path.hop import Jitter as Shape

from .app import Json, app
from .completion import presets
from .running import Stop, announce, attachment, print_json, run
from .turning import (
    USUAL,
    Alternate,
    Burst,
    Jitter,
    JitterShape,
    Loss,
    OwnMetrics,
    Queue,
    QuotaAllocations,
    QuotaBandwidth,
    QuotaChannels,
    QuotaPermissions,
    Rate,
    RelayAddresses,
    Reorder,
    Seed,
    TlsCertificate,
    TlsKey,
    TlsPort,
    quotas,
    relay_addresses,
    tls_files,
)

if TYPE_CHECKING:
    from relay.turn.credentials import Credentials

LEAST_SECRET = 16
"""Bytes."""
STANDARD_INPUT = Path("-")


@app.command("turn")
def turn_alone(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it serves.")] = "127.0.0.1:3478",
    realm: Annotated[str, typer.Option(help="Realm of the credentials.")] = "qcall",
    user: Annotated[list[str] | None, typer.Option(help="NAME:PASSWORD; may be given again.")] = None,
    secret: Annotated[
        Path | None,
        typer.Option(
            help="File of the secret behind names expiry:user or expiry:site:user; -: standard input.",
            metavar="FILE",
        ),
    ] = None,
    allow_peer: Annotated[
        list[str] | None, typer.Option(help="CIDR of private peers that may be reached.", metavar="CIDR")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="Topology whose modelled path lies between the sites of --secret's users.",
            autocompletion=presets,
        ),
    ] = None,
    loss: Loss = 0.0,
    burst: Burst = 1.0,
    jitter: Jitter = None,
    jitter_shape: JitterShape = Shape.NORMAL,
    reorder: Reorder = False,
    rate: Rate = None,
    queue: Queue = None,
    seed: Seed = None,
    metrics: OwnMetrics = None,
    tls_port: TlsPort = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    relay_address: RelayAddresses = None,
    quota_allocations: QuotaAllocations = USUAL.allocations,
    quota_permissions: QuotaPermissions = USUAL.permissions,
    quota_channels: QuotaChannels = USUAL.channels,
    quota_bandwidth: QuotaBandwidth = None,
    alternate: Alternate = None,
    control: Annotated[
        Path | None, typer.Option(help="Unix socket for status and faults.", metavar="FILE", hidden=True)
    ] = None,
    attached: Annotated[
        bool, typer.Option("--attached", help="End when standard input is closed.", hidden=True)
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the TURN server alone, for any WebRTC client."""

    from relay.network.topology import load
    from relay.options import PathOptions
    from relay.standalone import TurnOptions, running_turn
    from relay.turn.tls import tls_context

    async def work(stop: Stop) -> None:
        where = host_port(listen, "--listen")
        chosen = "--turn" if attached else "--listen"
        if path is not None and secret is None:
            raise UsageError("--path needs users with a site: give --secret FILE")
        files = tls_files(tls_port, tls_cert, tls_key)
        if tls_port is not None and files is None:
            raise UsageError("--tls-port needs a certificate: give --tls-cert and --tls-key")
        told = TurnOptions(
            listen=where,
            realm=realm,
            credentials=who_may_log_in(user or [], secret),
            allow_peers=[network(text) for text in allow_peer or ()],
            path=None
            if path is None
            else PathOptions(
                topology=load(path),
                loss=loss,
                burst=burst,
                jitter=None if jitter is None else jitter / 1000,
                jitter_shape=jitter_shape,
                reorder=reorder,
                rate=None if rate is None else rate * 1000,
                queue=queue,
                seed=seed,
            ),
            relay_hosts=relay_addresses(relay_address or ()),
            quotas=quotas(quota_allocations, quota_permissions, quota_channels, quota_bandwidth),
            tls=None if files is None else (tls_port or 0, tls_context(*files)),
            metrics=None if metrics is None else host_port(metrics, "--metrics"),
            alternate=None if alternate is None else host_port(alternate, "--alternate"),
            control=control,
            chosen_by=chosen,
        )
        async with running_turn(told) as running:
            with attachment(stop) if attached else contextlib.nullcontext():
                announce(as_json)(running.ready)
                if await stop.drained():
                    running.media.drain()
                    left = running.media.report().counters.allocations
                    announce(as_json)({"event": "draining", "allocations": left})
                    if await stop.unless(running.media.emptied()):
                        announce(as_json)({"event": "drained"})
        if as_json:
            print_json({"event": "ended", "turn": running.media.report().counters.as_json()})

    run(work, drains=True, attached=attached)


def who_may_log_in(users: list[str], secret: Path | None) -> Credentials:
    """Either static users or those of a shared secret."""
    from relay.turn.credentials import SharedSecret, StaticUsers

    if bool(users) == (secret is not None):
        raise UsageError("say who may log in: either --user NAME:PASSWORD or --secret FILE")
    if secret is None:
        return StaticUsers.parse(users)
    try:
        shared = read_line() if secret == STANDARD_INPUT else secret.read_bytes().strip()
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


def read_line() -> bytes:
    """A line of standard input, and nothing of what comes after it."""
    line = b""
    while not line.endswith(b"\n") and (read := os.read(sys.stdin.fileno(), 1)):
        line += read
    return line.strip()
