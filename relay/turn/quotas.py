"""What one user of a TURN server may hold and send; by itself, for command lines to show before all else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one user may hold and send at a time, over all of their allocations."""

    allocations: int = 16
    permissions: int = 256
    channels: int = 256
    bandwidth: float | None = None
    """Payload bytes a second, both directions together; None: no limit."""
