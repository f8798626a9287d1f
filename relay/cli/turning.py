"""The options of a TURN server, which ``relay serve`` and ``relay turn`` share."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from relay.errors import UsageError
from relay.path.hop import Jitter as Shape
from relay.turn.quotas import Quotas

USUAL = Quotas()

Loss = Annotated[
    float, typer.Option(metavar="P", help="Probability that a packet is lost from site to site, 0 to 1.")
]
Burst = Annotated[
    float, typer.Option(metavar="PACKETS", help="Packets lost in a row, in the mean; 1: at random.")
]
Jitter = Annotated[
    float | None,
    typer.Option(
        metavar="MS",
        help="Standard deviation of the path's delay, in milliseconds.",
        min=0.0,
        show_default="0.02 ms by hop",
    ),
]
JitterShape = Annotated[Shape, typer.Option(help="Distribution of what jitter adds.")]
Rate = Annotated[
    float | None,
    typer.Option(
        metavar="KBIT/S",
        help="Kilobits a second that every link carries each way.",
        show_default="no limit",
    ),
]
Queue = Annotated[
    int | None,
    typer.Option(metavar="PACKETS", help="Packets that may wait in front of a link with a --rate.", min=0),
]
Reorder = Annotated[bool, typer.Option("--reorder", help="Let jitter put packets out of order.")]
Seed = Annotated[
    int | None, typer.Option(help="Seed of the modelled path's chances.", show_default="another each time")
]
METRICS = "Where /metrics, /healthz and /readyz are."
Metrics = Annotated[str, typer.Option(metavar="HOST:PORT", help=METRICS)]
OwnMetrics = Annotated[str | None, typer.Option(metavar="HOST:PORT", help=METRICS, show_default="nowhere")]
Alternate = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The TURN server that clients are sent to while this one drains.",
        show_default="none",
    ),
]

TlsPort = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", help="TCP port of TURN over TLS (turns:).", min=0, max=65_535, show_default="none"
    ),
]
TlsCertificate = Annotated[
    Path | None, typer.Option(help="PEM file of the certificate for TURN over TLS, with its chain.")
]
TlsKey = Annotated[Path | None, typer.Option(help="PEM file of its private key.")]
RelayAddresses = Annotated[
    list[str] | None,
    typer.Option(
        help="IP that relayed addresses are on, one IPv4 and one IPv6 at most.",
        metavar="IP",
        show_default="that of the TURN server",
    ),
]
QuotaAllocations = Annotated[int, typer.Option(help="Allocations that a user may have.", min=1)]
QuotaPermissions = Annotated[int, typer.Option(help="Permissions that a user may have.", min=1)]
QuotaChannels = Annotated[int, typer.Option(help="Channels that a user may have.", min=1)]
QuotaBandwidth = Annotated[
    float | None,
    typer.Option(
        metavar="KBIT/S",
        help="Kilobits of payload a second that a user may send and get.",
        show_default="no limit",
    ),
]


def quotas(allocations: int, permissions: int, channels: int, bandwidth: float | None) -> Quotas:
    """What one user may have; ``bandwidth`` in kilobits a second."""
    if bandwidth is not None and not bandwidth > 0:
        raise UsageError(f"--quota-bandwidth {bandwidth:g}: give kilobits a second, more than 0")
    return Quotas(allocations, permissions, channels, None if bandwidth is None else bandwidth * 125)


def relay_addresses(texts: Sequence[str]) -> tuple[str, ...]:
    """Addresses from the command line, one of a family at most."""
    versions: set[int] = set()
    for text in texts:
        try:
            version = ipaddress.ip_address(text).version
        except ValueError:
            raise UsageError(f"--relay-address {text}: give an IP address of this machine") from None
        if version in versions:
            raise UsageError(f"--relay-address {text}: there is one of IPv{version} already")
        versions.add(version)
    return tuple(texts)


def tls_files(port: int | None, certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Both files or none; they are for TLS only."""
    if certificate is None and key is None:
        return None
    if port is None:
        raise UsageError("--tls-cert and --tls-key are for TURN over TLS: give --tls-port as well")
    if certificate is None or key is None:
        raise UsageError("--tls-cert and --tls-key belong together: give both")
    return certificate, key
