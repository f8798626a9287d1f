"""What the key network holds for a running call: asked of the own key node, told when it changes.

Both phones ask, each its own key node, so both see a fibre that is cut, an eavesdropper who raises the alarm
and keys that run low within seconds, and not only when the next rekey fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from qcall.errors import QcallError
from qcall.net.kme import Outlook, QkdSource

INTERVAL = 5.0
"""Seconds between two questions; no rekey interval is shorter."""
LOW_MINUTES = 5.0
"""Rekeys left for fewer minutes than this are news."""


class KeyWatch:
    """Watches the way to one peer. ``rekey`` is the call's interval in seconds; ``tell(kind, **fields)``."""

    def __init__(self, qkd: QkdSource, rekey: float, tell: Callable[..., None]) -> None:
        self._qkd = qkd
        self._rekey = rekey
        self._tell = tell
        self._told: Outlook | None = None

    async def watch(self, peer_sae: Callable[[], str | None]) -> None:
        """Ask and tell until cancelled; a key node that does not answer is asked again."""
        while True:
            if (sae := peer_sae()) is not None:
                with contextlib.suppress(QcallError):
                    self._take(await self._qkd.outlook(sae))
            await asyncio.sleep(INTERVAL)

    def _take(self, seen: Outlook | None) -> None:
        if seen is None:
            return
        told = self._told
        if told is None or self._gist(seen) != self._gist(told) or self._ran_down(told, seen):
            recovered = told is not None and bool(told.faults) and not seen.faults
            self._tell("qkd-outlook", **fields_of(seen, self._rekey), recovered=recovered)
            self._told = seen

    def _ran_down(self, told: Outlook, seen: Outlook) -> bool:
        """Whether few keys have become fewer by a minute: a warning that stays has to stay true."""
        before, now = told.minutes(self._rekey), seen.minutes(self._rekey)
        return is_low(now) and is_low(before) and now is not None and before is not None and now <= before - 1

    def _gist(self, seen: Outlook) -> tuple[object, ...]:
        minutes = seen.minutes(self._rekey)
        return seen.path, seen.faults, seen.calls, is_low(minutes)


def is_low(minutes: float | None) -> bool:
    """Whether keys for so many minutes (``None``: for ever) are few."""
    return minutes is not None and minutes < LOW_MINUTES


def fields_of(seen: Outlook, rekey: float) -> dict[str, Any]:
    """What ``--json`` prints: key counts, rates and node names, never key bytes."""
    minutes = seen.minutes(rekey)
    return {
        "path": list(seen.path),
        "hops": max(len(seen.path) - 1, 0),
        "faults": [{"link": list(fault.link), "condition": fault.condition} for fault in seen.faults],
        "alarm": any(fault.condition == "alarm" for fault in seen.faults),
        "keys_left": seen.keys_left,
        "keys_per_second": seen.keys_per_second,
        "calls": seen.calls,
        "minutes_left": None if minutes is None else round(minutes, 1),
        "low": is_low(minutes),
        "simulated": True,
    }
