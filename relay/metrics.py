"""What the relay counts, in Prometheus's words. Pure: figures in, metric families out.

Labels name reasons, codes, directions, sites and hops; never a user.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from relay.turn.counters import BATCH_BOUNDS, RELEASE_ERROR_BOUNDS, Counters

SIDES = ("client", "peer")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One look at a running relay."""

    turn: Counters
    busy: float
    full: bool
    draining: bool
    phones: int = 0
    signalling: Mapping[str, int] = field(default_factory=dict)
    hops: Sequence[Mapping[str, Any]] = ()
    """What crossed each hop of a modelled path: from, to, hop, passed, lost, dropped."""
    keys_relayed: int = 0
    relays_rejected: int = 0
    links: Sequence[Mapping[str, Any]] = ()
    """What each link of the key network holds: a, b, pool, spent and lost bits."""


def exposition(figures: Figures) -> bytes:
    """The figures as Prometheus reads them (text format 0.0.4)."""
    registry = CollectorRegistry()
    registry.register(_Relay(figures))
    return generate_latest(registry)


class _Relay(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering would otherwise collect once."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every family."""
        figures = self._figures
        yield from _turn(figures.turn)
        yield from _around(figures)
        yield from _keys(figures)


def _turn(turn: Counters) -> Iterable[Metric]:
    yield _gauge("turn_allocations", "Live allocations.", ("transport",), turn.by_transport)
    yield GaugeMetricFamily(
        "relay_turn_receive_buffer_bytes",
        "What the clients' socket holds at most.",
        value=turn.receive_buffer,
    )
    happened = {"made": turn.allocations_made, "expired": turn.allocations_expired}
    yield _counter("turn_allocation_events", "Allocations made, and expired.", ("event",), happened)
    yield _counter("turn_packets", "Application datagrams.", ("direction",), _by_direction(turn, "packets"))
    yield _counter("turn_bytes", "Payload bytes.", ("direction",), _by_direction(turn, "bytes"))
    yield CounterMetricFamily(
        "relay_turn_hairpinned", "Datagrams between two allocations.", value=turn.hairpinned
    )
    yield _counter("turn_drops", "Datagrams that went nowhere.", ("reason",), turn.drops)
    yield _counter("turn_auth_failures", "Unauthenticated requests.", ("code",), turn.auth_failures)
    yield _counter("turn_errors", "Authenticated requests refused.", ("code",), turn.errors)
    yield _histogram("turn_batch_size", "Datagrams per batch.", BATCH_BOUNDS, turn.batches, turn.batched)
    yield _histogram(
        "path_release_error_seconds",
        "How late datagrams left the modelled path.",
        RELEASE_ERROR_BOUNDS,
        turn.release_errors,
        turn.error_seconds,
    )


def _by_direction(turn: Counters, what: str) -> dict[str, int]:
    return {f"{side}-{way}": getattr(turn, f"{side}_{what}_{way}") for side in SIDES for way in ("in", "out")}


def _around(figures: Figures) -> Iterable[Metric]:
    yield GaugeMetricFamily("relay_busy", "Share of its core that the relay uses.", value=figures.busy)
    for name, holds in {"full": figures.full, "draining": figures.draining}.items():
        yield GaugeMetricFamily(f"relay_{name}", f"1 while the relay is {name}.", value=float(holds))
    yield GaugeMetricFamily("relay_phones", "Phones that are online.", value=figures.phones)
    yield _counter("signalling_events", "What signalling counts.", ("event",), figures.signalling)
    crossed = {
        (hop["from"], hop["to"], hop["hop"], outcome): hop[outcome]
        for hop in figures.hops
        for outcome in ("passed", "lost", "dropped")
    }
    labels = ("source", "target", "hop", "outcome")
    yield _counter("path_packets", "Packets of the modelled path, by hop.", labels, crossed)


def _keys(figures: Figures) -> Iterable[Metric]:
    links = {f"{link['a']} - {link['b']}": link for link in figures.links}
    pools = {name: link["pool"] for name, link in links.items()}
    yield _gauge("key_pool_bits", "Key bits that a link holds (simulated).", ("link",), pools)
    gone = {(name, fate): link[fate] for name, link in links.items() for fate in ("spent", "lost")}
    yield _counter("key_bits", "Key bits that a link had (simulated).", ("link", "fate"), gone)
    relays = {"delivered": figures.keys_relayed, "rejected": figures.relays_rejected}
    yield _counter("key_relays", "End keys carried hop by hop (simulated).", ("outcome",), relays)


def _gauge(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"relay_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(_labels(key), value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(f"relay_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(_labels(key), value)
    return family


def _histogram(name: str, text: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    """``counts`` have one more than ``bounds``, for what is above them; ``total`` is the sum of all."""
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    buckets = list(zip(names, itertools.accumulate(counts), strict=True))
    family = HistogramMetricFamily(f"relay_{name}", text)
    family.add_metric([], buckets, total)
    return family


def _labels(key: Any) -> list[str]:
    return list(map(str, key)) if isinstance(key, tuple) else [str(key)]
