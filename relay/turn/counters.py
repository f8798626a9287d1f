"""What a TURN server counts. Plain numbers; who publishes them reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

RELEASE_ERROR_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.010, 0.050)
"""Upper bounds of the release-error histogram, in seconds early or late; one more bucket holds the rest."""
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SETTLE_AT: Final = 64
"""Batches that may wait to be added up."""
CHANNEL_HEADER: Final = 4
"""Bytes of ChannelData's header, which are no payload."""


@dataclass(slots=True)
class Counters:
    """Counts since the server started, except what is said to be otherwise."""

    allocations: int = 0
    """How many live now."""
    by_transport: Counter[str] = field(default_factory=Counter)
    """The same by transport to the client."""
    allocations_made: int = 0
    allocations_expired: int = 0
    client_packets_in: int = 0
    """Application datagrams from clients; bytes are payload, without TURN or UDP headers."""
    client_bytes_in: int = 0
    client_packets_out: int = 0
    client_bytes_out: int = 0
    peer_packets_in: int = 0
    """Application datagrams from peers through the kernel."""
    peer_bytes_in: int = 0
    peer_packets_out: int = 0
    peer_bytes_out: int = 0
    hairpinned: int = 0
    """Application datagrams between two allocations of this server, inside the process."""
    drops: Counter[str] = field(default_factory=Counter)
    """Datagrams that went nowhere, by reason."""
    auth_failures: Counter[int] = field(default_factory=Counter)
    """Requests refused before they were authenticated, by STUN error code, answered or not."""
    errors: Counter[int] = field(default_factory=Counter)
    """Authenticated requests that were refused, by STUN error code."""
    receive_buffer: int = 0
    """Bytes that the kernel holds for the clients' socket at most (socket(7), SO_RCVBUF), not a count."""
    batches: list[int] = field(default_factory=lambda: [0] * (len(BATCH_BOUNDS) + 1))
    """Batches by how many datagrams they had: counts per bucket of ``BATCH_BOUNDS``."""
    batched: int = 0
    """Datagrams in all of them."""
    error_seconds: float = 0.0
    """The sum of what ``release_errors`` counts."""
    release_errors: list[int] = field(default_factory=lambda: [0] * (len(RELEASE_ERROR_BOUNDS) + 1))
    """How far from its time each datagram left the modelled path: counts per bucket of
    ``RELEASE_ERROR_BOUNDS``."""

    def as_json(self) -> dict[str, Any]:
        """Every figure by name; how far off releases were, by upper bound in milliseconds."""
        bounds = [f"{1000 * bound:g}" for bound in RELEASE_ERROR_BOUNDS]
        figures: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("by_transport", "drops", "auth_failures", "errors"):
            figures[name] = {str(key): count for key, count in figures[name].items()}
        figures["batches"] = dict(zip([*map(str, BATCH_BOUNDS), "more"], self.batches, strict=True))
        figures["release_errors"] = dict(zip([*bounds, "more"], self.release_errors, strict=True))
        return figures

    @classmethod
    def from_json(cls, figures: Mapping[str, Any]) -> Self:
        """What ``as_json`` wrote."""
        read = dict(figures)
        for name in ("by_transport", "drops"):
            read[name] = Counter(read[name])
        for name in ("auth_failures", "errors"):
            read[name] = Counter({int(code): count for code, count in read[name].items()})
        for name in ("batches", "release_errors"):
            read[name] = list(read[name].values())
        return cls(**read)

    @classmethod
    def total(cls, several: Iterable[Counters]) -> Self:
        """What several servers counted together."""
        total = cls()
        for each in several:
            for what in fields(cls):
                ours, theirs = getattr(total, what.name), getattr(each, what.name)
                summed = (
                    [a + b for a, b in zip(ours, theirs, strict=True)]
                    if isinstance(ours, list)
                    else ours + theirs
                )
                setattr(total, what.name, summed)
        return total

    def released(self, late: float) -> None:
        """Count a datagram that left the path ``late`` seconds after its time; before it where negative."""
        error = abs(late)
        self.error_seconds += error
        for bucket, bound in enumerate(RELEASE_ERROR_BOUNDS):
            if error <= bound:
                self.release_errors[bucket] += 1
                return
        self.release_errors[-1] += 1


class Tally:
    """What batches add to ``counters``, gathered and added up now and then: adding up costs by the call."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._came: list[NDArray[np.uint32]] = []
        self._left: list[NDArray[np.uint64]] = []
        self._late: list[NDArray[np.float64]] = []
        self._batches: list[int] = []

    def came(self, sizes: NDArray[np.uint32]) -> None:
        """Datagrams from clients, by bytes of payload."""
        self._came.append(sizes)
        if len(self._came) == SETTLE_AT:
            self.settle()

    def left(self, lengths: NDArray[np.uint64]) -> None:
        """ChannelData to clients, by bytes of the whole message."""
        self._left.append(lengths)
        if len(self._left) == SETTLE_AT:
            self.settle()

    def batch(self, size: int) -> None:
        """A batch that was read from a socket."""
        self._batches.append(size)
        if len(self._batches) == SETTLE_AT:
            self.settle()

    def late(self, late: NDArray[np.float64]) -> None:
        """Releases from the modelled path, by seconds after their times; before them where negative."""
        self._late.append(late)

    def settle(self) -> None:
        """Bring the counters up to date."""
        counters = self._counters
        if self._came:
            sizes = np.concatenate(self._came)
            counters.client_packets_in += len(sizes)
            counters.client_bytes_in += int(sizes.sum())
            self._came.clear()
        if self._left:
            lengths = np.concatenate(self._left)
            counters.client_packets_out += len(lengths)
            counters.client_bytes_out += int(lengths.sum()) - CHANNEL_HEADER * len(lengths)
            self._left.clear()
        if self._late:
            errors = np.abs(np.concatenate(self._late))
            counters.error_seconds += float(errors.sum())
            _count(counters.release_errors, np.searchsorted(RELEASE_ERROR_BOUNDS, errors))
            self._late.clear()
        if self._batches:
            counters.batched += sum(self._batches)
            _count(counters.batches, np.searchsorted(BATCH_BOUNDS, self._batches))
            self._batches.clear()


def _count(counts: list[int], buckets: NDArray[np.intp]) -> None:
    for bucket, count in enumerate(np.bincount(buckets).tolist()):
        counts[bucket] += count
