"""Whether what comes is the far phone's: packets that no key opens, one after the other, mean that it is not.

A flood of forged packets between good ones is not it: a good packet ends the row. A row that does not end
means that somebody holds the path, or that the phones no longer hold the same keys; new keys are tried, then
the call is given up.
"""

from __future__ import annotations

import enum

LIMIT = 50
"""Packets in a row that may fail to open."""
PATIENCE = 7.0
"""Seconds of such a row until the call is given up: time for a rekey, and sooner than a dead path is."""


class Verdict(enum.Enum):
    """What is to be done."""

    FAILING = "warn, and ask for new keys"
    WELL = "take the warning back"
    LOST = "hang up"


class Authenticity:
    """Looks at the failures in a row, now and then."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, in_a_row: int, now: float) -> Verdict | None:
        """``in_a_row``: packets that no key opened since the last good one; ``now`` in seconds."""
        if in_a_row <= LIMIT:
            was, self._since = self._since, None
            return None if was is None else Verdict.WELL
        if self._since is None:
            self._since = now
            return Verdict.FAILING
        return Verdict.LOST if now >= self._since + PATIENCE else None
