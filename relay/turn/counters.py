"""What a TURN server counts. Plain numbers; who publishes them reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

RELEASE_ERROR_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.010, 0.050)
"""Upper bounds of the release-error histogram, in seconds; one more bucket holds the rest."""


@dataclass(slots=True)
class Counters:
    """Counts since the server started, except ``allocations``, which is how many live now."""

    allocations: int = 0
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
    release_errors: list[int] = field(default_factory=lambda: [0] * (len(RELEASE_ERROR_BOUNDS) + 1))
    """How late datagrams left the modelled path: counts per bucket of ``RELEASE_ERROR_BOUNDS``."""

    def as_json(self) -> dict[str, Any]:
        """Every figure by name; how late releases were, by upper bound in milliseconds."""
        bounds = [f"{1000 * bound:g}" for bound in RELEASE_ERROR_BOUNDS]
        figures = asdict(self)
        for name in ("drops", "auth_failures", "errors"):
            figures[name] = {str(key): count for key, count in figures[name].items()}
        figures["release_errors"] = dict(zip([*bounds, "more"], self.release_errors, strict=True))
        return figures

    def released(self, late: float) -> None:
        """Count a datagram that left the path ``late`` seconds after its time."""
        for bucket, bound in enumerate(RELEASE_ERROR_BOUNDS):
            if late <= bound:
                self.release_errors[bucket] += 1
                return
        self.release_errors[-1] += 1
