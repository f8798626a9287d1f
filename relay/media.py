"""What carries media, as the rest of a relay sees it: a TURN server in this process, or several elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from relay.path.model import HopStatistics
from relay.path.routes import Routes
from relay.turn.attributes import Address
from relay.turn.counters import Counters
from relay.turn.udp import TurnServer

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One look at a TURN server. ``busy``: the share of its core in use; ``flows``: on its fast path."""

    counters: Counters
    busy: float
    full: bool
    flows: int
    paths: Rows = ()
    """Every modelled direction that was used: its length, and how many packets in a row it lost."""
    hops: Rows = ()
    """What crossed each hop of the modelled paths, where something did."""

    def as_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return {
            "counters": self.counters.as_json(),
            "busy": self.busy,
            "full": self.full,
            "flows": self.flows,
            "paths": list(self.paths),
            "hops": list(self.hops),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Report:
        """A report from another process."""
        return cls(**{**said, "counters": Counters.from_json(said["counters"])})


class Media(Protocol):
    """TURN for the phones of a relay."""

    @property
    def addresses(self) -> Sequence[Address]:
        """Where clients reach each worker over UDP and TCP; of one host, the first one first."""

    @property
    def tls_address(self) -> Address | None:
        """Where they reach the first one over TLS."""

    @property
    def workers(self) -> Rows:
        """What each worker is doing, where there are several."""

    def report(self) -> Report:
        """All workers together; figures of other processes are at most a second old."""

    def takes(self, call_id: bytes) -> bool:
        """Whether there is room for that call where it would go."""

    async def expel(self, user: str, until: float) -> None:
        """End what ``user`` has allocated; see :meth:`relay.turn.credentials.Credentials.void`."""

    def drain(self) -> None:
        """Refuse new allocations; keep the live ones."""

    async def emptied(self) -> None:
        """Wait until what drains has no allocation left."""

    async def close(self) -> None:
        """End it at once."""


class OwnMedia:
    """A TURN server in this process. ``alternate``: where its clients are sent while it drains."""

    workers: Rows = ()

    def __init__(self, turn: TurnServer, routes: Routes | None, alternate: Address | None = None) -> None:
        self._turn = turn
        self._routes = routes
        self._alternate = alternate

    @property
    def addresses(self) -> Sequence[Address]:
        return (self._turn.address,)

    @property
    def tls_address(self) -> Address | None:
        return self._turn.tls_address

    def report(self) -> Report:
        return Report(
            counters=self._turn.counters,
            busy=self._turn.admission.busy,
            full=self._turn.admission.full,
            flows=self._turn.shortcuts,
            paths=paths_used(self._routes),
            hops=hops_used(self._routes),
        )

    def takes(self, call_id: bytes) -> bool:
        return not self._turn.admission.full

    async def expel(self, user: str, until: float) -> None:
        self._turn.expel(user, until)

    def drain(self) -> None:
        self._turn.drain(self._alternate)

    async def emptied(self) -> None:
        await self._turn.emptied()

    async def close(self) -> None:
        await self._turn.close()


def paths_used(routes: Routes | None) -> Rows:
    """Of every modelled direction that was used: its length, and how many packets in a row it lost."""
    return [
        {
            "from": source,
            "to": target,
            "km": round(path.km, 1),
            "delay_ms": round(1000 * path.propagation, 3),
            "loss_runs": {str(length): count for length, count in sorted(path.loss_runs.items())},
        }
        for (source, target), path in (routes.items() if routes else {}).items()
        if any(counted != HopStatistics() for counted in path.statistics.values())
    ]


def hops_used(routes: Routes | None) -> Rows:
    """What crossed each hop of the modelled paths, where something did."""
    return [
        {"from": source, "to": target, "hop": hop, **asdict(counted)}
        for (source, target), path in (routes.items() if routes else {}).items()
        for hop, counted in path.statistics.items()
        if counted != HopStatistics()
    ]


def together(reports: Sequence[Report], paths: Rows = (), hops: Rows = ()) -> Report:
    """Several workers as one: full when all are; ``paths`` and ``hops`` were crossed by other than media."""
    return Report(
        counters=Counters.total(each.counters for each in reports),
        busy=sum(each.busy for each in reports) / max(1, len(reports)),
        full=all(each.full for each in reports),
        flows=sum(each.flows for each in reports),
        paths=_summed(("from", "to"), [paths, *(each.paths for each in reports)]),
        hops=_summed(("from", "to", "hop"), [hops, *(each.hops for each in reports)]),
    )


def _summed(names: Sequence[str], tables: Sequence[Rows]) -> Rows:
    """Rows that agree in ``names`` as one, their counts added up; what a path is like stays as it is."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for table in tables for row in table):
        key = tuple(row[name] for name in names)
        if key not in found:
            found[key] = dict(row)
            continue
        known = found[key]
        for name, value in row.items():
            if isinstance(value, int):
                known[name] += value
            elif isinstance(value, Mapping):
                known[name] = dict(Counter(known[name]) + Counter(value))
    return list(found.values())
