"""A phone with somebody at its desk: the board is kept, and the control socket listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from qcall.config import Home
from qcall.errors import QcallError

from .control import ControlServer
from .desk import Desk
from .phone import Phone

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def attended(desk: Desk, phone: Phone, home: Home, *, alone: bool = False) -> AsyncIterator[None]:
    """Keep the desk of ``phone`` within the context.

    With ``alone`` it is an error that another phone runs with this home; without, that one keeps the socket.
    """
    desk.attach(phone)
    control = None
    try:
        control = await ControlServer.start(home.control, desk)
    except QcallError as error:
        if alone:
            raise
        log.info("no control socket: %s", error)
    watching = asyncio.create_task(desk.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        if control is not None:
            await control.close()
