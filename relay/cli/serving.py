"""Running the relay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from relay.config import host_port
from relay.path.hop import Jitter as Shape

from .app import Json, TopologyName, app
from .running import Stop, announce, run
from .turning import (
    USUAL,
    Alternate,
    Burst,
    Jitter,
    JitterShape,
    Loss,
    Metrics,
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


@app.command()
def serve(
    context: typer.Context,
    topology: TopologyName = "beijing-hefei",
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Signalling.")] = "127.0.0.1:7480",
    turn: Annotated[str, typer.Option(metavar="HOST:PORT", help="The media relay.")] = "127.0.0.1:3478",
    kme: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The first site's key node; the others follow.",
            show_default="any free ports",
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
    record: Annotated[
        Path | None, typer.Option(help="Record all that crosses the relay, as an attacker who owns it would.")
    ] = None,
    metrics: Metrics = "127.0.0.1:0",
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
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that relay media, from the port of --turn on; 0: one for each core.",
            min=0,
            max=256,
        ),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run signalling, media relay and key nodes in one process, or the nodes in processes of their own.

    Every request to a key node is in the home's audit.log (with --processes: in that of each site).
    """

    from relay.network.topology import load
    from relay.options import Options
    from relay.serve import serve as serve_all
    from relay.wiretap import Wiretap

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
            jitter_shape=jitter_shape,
            reorder=reorder,
            rate=None if rate is None else rate * 1000,
            queue=queue,
            seed=seed,
            tls_port=tls_port,
            tls_files=tls_files(tls_port, tls_cert, tls_key),
            relay_hosts=relay_addresses(relay_address or ()),
            quotas=quotas(quota_allocations, quota_permissions, quota_channels, quota_bandwidth),
            record=None if record is None else Wiretap(record),
            source=topology,
            processes=processes,
            workers=workers or os.cpu_count() or 1,
        )
        try:
            await serve_all(context.obj, chosen, announce(as_json), stop)
        finally:
            if chosen.record is not None:
                chosen.record.close()

    run(work, drains=True)
