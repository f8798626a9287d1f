"""Whether anything still comes from the far phone: a call over a dead path must not go on in silence.

Media never pauses in a call (a muted phone sends encrypted silence), so no authentic packet for a while means
that the relay, the path or the far phone is gone. While a call rings there is no media yet, and the consent
checks of ICE (RFC 7675) have to do.
"""

from __future__ import annotations

import enum

LOST_AFTER = 3.0
"""Seconds of talk without a packet until the user is told."""
DEAD_AFTER = 10.0
"""Seconds of talk without a packet until the call is given up: longer than any reroute of the path takes."""
RINGING_DEAD_AFTER = 20.0
"""Seconds of ringing without a consent check of the far phone (one comes every 4 to 6, RFC 7675)."""


class Change(enum.Enum):
    """What the user is to know."""

    LOST = "nothing comes any more"
    BACK = "it comes again"
    DEAD = "nothing will come"


class Liveness:
    """Made when the connection is up, at ``now`` (seconds on the caller's clock)."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._talking = False
        self._lost = False

    def talk(self, now: float) -> None:
        """Media begins."""
        self._began, self._talking = now, True

    def look(self, checked_at: float | None, heard_at: float | None, now: float) -> Change | None:
        """What has changed by ``now``.

        ``checked_at`` is when the far phone last checked for consent, ``heard_at`` when its last authentic
        packet of media came.
        """
        if not self._talking:
            silent = now - max(self._began, checked_at or self._began)
            return Change.DEAD if silent >= RINGING_DEAD_AFTER else None
        silent = now - max(self._began, heard_at or self._began)
        if silent >= DEAD_AFTER:
            return Change.DEAD
        lost, self._lost = self._lost, silent >= LOST_AFTER
        if lost == self._lost:
            return None
        return Change.LOST if self._lost else Change.BACK
