"""Whether anything still comes from the far phone: a call over a dead path must not go on in silence.

Media never pauses in a call (a muted phone sends encrypted silence), so no authentic packet for a while means
that the relay, the path or the far phone is gone. ICE consent (RFC 7675) would notice only after half a
minute.
"""

from __future__ import annotations

import enum

LOST_AFTER = 3.0
"""Seconds without a packet until the user is told."""
DEAD_AFTER = 10.0
"""Seconds without a packet until the call is given up: longer than any reroute of the path takes."""


class Change(enum.Enum):
    """What the user is to know."""

    LOST = "nothing comes any more"
    BACK = "it comes again"
    DEAD = "nothing will come"


class Liveness:
    """Made when media begins, at ``now`` (seconds on the caller's clock)."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._lost = False

    def look(self, heard_at: float | None, now: float) -> Change | None:
        """Compare ``heard_at``, when the last authentic packet came, with ``now``; a change, or nothing."""
        silent = now - max(self._began, heard_at or self._began)
        if silent >= DEAD_AFTER:
            return Change.DEAD
        lost, self._lost = self._lost, silent >= LOST_AFTER
        if lost == self._lost:
            return None
        return Change.LOST if self._lost else Change.BACK
