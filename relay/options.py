"""What a relay is told, and what follows from it: the modelled paths, and what its media workers are told."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from relay.config import spelt
from relay.errors import UsageError
from relay.network.topology import Topology
from relay.path.hop import Burst, Hop, Jitter
from relay.path.routes import Routes
from relay.turn.allocation import Quotas
from relay.wiretap import Wiretap


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """What the modelled paths between the sites of a topology are like.

    ``loss``: a probability from site to site. ``jitter``: seconds, the standard deviation of the whole path's
    delay. Without a ``seed`` chance differs from run to run.
    """

    topology: Topology
    loss: float = 0.0
    burst: float = 1.0
    """Packets that are lost in a row, in the mean; 1: every loss is independent of the one before."""
    jitter: float | None = None
    jitter_shape: Jitter = Jitter.NORMAL
    reorder: bool = False
    """Whether jitter lets packets overtake each other."""
    rate: float | None = None
    """Bits a second that every link carries in one direction; ``None``: enough for all."""
    queue: int | None = None
    """Packets that may wait in front of a link; more are dropped. ``None``: as many as come."""
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise UsageError(f"--loss {self.loss:g}: a probability from 0 to below 1, such as 0.05")
        if not self.burst >= 1:
            raise UsageError(f"--burst {self.burst:g}: packets lost in a row, 1 or more")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise UsageError(f"--rate {self.rate / 1000:g}: kilobits a second, more than 0")
        if self.queue is not None and self.rate is None:
            raise UsageError("--queue: only what has a --rate has a queue; give both")


@dataclass(frozen=True, kw_only=True)
class Options(PathOptions):
    """What ``relay serve`` was told. Port 0 takes a free one."""

    listen: tuple[str, int]
    turn: tuple[str, int]
    kme: tuple[str, int] | None = None
    """Of the first site's key node; the next ports belong to the other sites. Default: free ports."""
    realm: str = "qcall"
    record: Wiretap | None = None
    source: str = ""
    """What names the topology: for nodes and workers in processes of their own."""
    processes: bool = False
    """Whether every node is a process of its own."""
    workers: int = 1
    """Processes that relay media; one: this one does."""
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


def routes(options: PathOptions) -> Routes:
    """The modelled path between every two sites, over the hops that the keys take as well."""
    topology = options.topology
    seed = secrets.randbits(64) if options.seed is None else options.seed
    pairs = itertools.combinations(topology.sites, 2)
    usual = {pair: topology.hops(topology.path(*pair)) for pair in pairs}
    return Routes(
        {pair: hops(named, options) for pair, named in usual.items()}, seed=seed, reorder=options.reorder
    )


def hops(named: Sequence[tuple[str, float]], options: PathOptions) -> list[Hop]:
    """The hops of one path; the loss from end to end is spread evenly over them."""
    loss = 1 - (1 - options.loss) ** (1 / len(named))
    shape, rate, queue = options.jitter_shape, options.rate, options.queue
    like = Hop("", 0.0, loss=loss, jitter_shape=shape, rate=rate, queue_packets=queue)
    made = [replace(like, name=name, km=km) for name, km in named]
    if options.burst > 1 and loss > 0:
        leave = 1 / options.burst
        burst = Burst(enter=loss * leave / (1 - loss), leave=leave)
        made = [replace(hop, loss=0.0, burst=burst) for hop in made]
    if options.jitter is None:
        return made
    # Independent hops: their variances add up.
    each = options.jitter / len(named) ** 0.5
    return [replace(hop, jitter=each) for hop in made]


def worker_options(options: Options, tls_files: tuple[Path, Path] | None, place: int) -> list[str]:
    """What ``relay turn`` is told as the worker at ``place``, except where it listens."""
    quotas = options.quotas
    told: dict[str, object] = {
        "--realm": options.realm,
        "--path": options.source,
        "--loss": options.loss,
        "--burst": options.burst,
        "--jitter-shape": options.jitter_shape.value,
        "--quota-allocations": quotas.allocations,
        "--quota-permissions": quotas.permissions,
        "--quota-channels": quotas.channels,
    }
    if options.jitter is not None:
        told["--jitter"] = 1000 * options.jitter
    if options.rate is not None:
        told["--rate"] = options.rate / 1000
    if options.queue is not None:
        told["--queue"] = options.queue
    if options.seed is not None:
        told["--seed"] = options.seed + place
    if quotas.bandwidth is not None:
        told["--quota-bandwidth"] = quotas.bandwidth / 125
    if options.alternate is not None:
        told["--alternate"] = spelt(options.alternate)
    if tls_files is not None and options.tls_port is not None:
        told["--tls-port"] = options.tls_port + place if options.tls_port else 0
        told["--tls-cert"], told["--tls-key"] = tls_files
    pairs = [*told.items(), *(("--relay-address", host) for host in options.relay_hosts)]
    flags = ["--reorder"] if options.reorder else []
    return [*flags, *(str(each) for pair in pairs for each in pair)]
