"""Work that may be told to stop."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class Stop(Protocol):
    """Set when there is nothing more to wait for."""

    def is_set(self) -> bool: ...
    async def wait(self) -> Any: ...


async def first(work: Any, stop: Stop) -> Any:
    """The result of ``work``, or ``None`` when ``stop`` came first."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for each in (working, stopping):
            each.cancel()
        await asyncio.wait({working, stopping})
