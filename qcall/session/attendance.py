"""A phone with somebody at its desk: the board is kept, and the control socket listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from qcall.config import Home

from .control import ControlServer
from .desk import Desk
from .phone import Phone


@contextlib.asynccontextmanager
async def attended(desk: Desk, phone: Phone, home: Home) -> AsyncIterator[None]:
    """Keep the desk of ``phone`` within the context. Raises ``UsageError`` when another has this home."""
    desk.attach(phone)
    control = await ControlServer.start(home.control, desk)
    watching = asyncio.create_task(desk.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await control.close()
