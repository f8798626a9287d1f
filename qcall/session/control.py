"""The running phone's control socket (Unix, mode 0600): one JSON object a line in each direction.

    {"command": "mute"}      → {"ok": true, "data": {"muted": true}}
    {"command": "answer"}    → {"ok": false, "error": {"code": "usage", "text": "no call waits …"}}
    {"command": "subscribe"} → {"ok": true, "data": {}}, then one event a line until either side leaves

Who may open the socket's file is the phone's user, so nothing else is asked. ``ask`` and ``events`` are the
other end, for ``qcall control``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol, Self

from qcall.errors import LocalFault, QcallError, StorageError, UsageError
from qcall.wire import local
from qcall.wire.local import InUse, LineServer, Refusal, Unreachable, Unusable, refusal, send

from . import commands
from .event import Event

log = logging.getLogger(__name__)

PHONE: Final = local.Kind(
    "phone",
    if_running="use it by qcall control, or choose another --home",
    if_missing="start qcall or qcall listen, or name its --home",
)
BACKLOG: Final = 1000
"""Events that wait for a follower which reads too slowly, before it is let go."""


class Desk(Protocol):
    """What carries out commands and tells events."""

    async def run(self, command: commands.Any) -> Any: ...
    def follow(self, follower: Callable[[Event], None]) -> AbstractContextManager[None]: ...


class ControlServer:
    """A listening control socket; made by :meth:`start`."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._desk = desk
        self._server = LineServer(path, PHONE, self._converse)

    @classmethod
    async def start(cls, path: Path, desk: Desk) -> Self:
        """Listen at ``path``; a socket that a dead phone left is replaced.

        Raises ``UsageError`` when a live phone has it, and ``StorageError``.
        """
        control = cls(path, desk)
        try:
            await control._server.listen()
        except InUse as fault:
            raise UsageError(str(fault)) from None
        except Unusable as fault:
            raise StorageError(str(fault)) from None
        return control

    async def close(self) -> None:
        """Stop listening, hang up on every client and remove the socket's file."""
        await self._server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                command = commands.decode(line)
            except ValueError as error:
                await send(writer, refusal("usage", str(error)))
                continue
            if isinstance(command, commands.Subscribe):
                await self._follow(reader, writer)
                break
            await send(writer, await self._answer(command))

    async def _answer(self, command: commands.Any) -> dict[str, Any]:
        try:
            return {"ok": True, "data": await self._desk.run(command)}
        except QcallError as error:
            return refusal(error.code, str(error))
        except Exception:
            log.exception("control: %s failed", type(command).__name__)
            return refusal("fault", "a fault of qcall itself; its log says more")

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            if waiting.qsize() < BACKLOG:
                waiting.put_nowait(event)
            else:
                writer.transport.abort()

        with self._desk.follow(put):
            await send(writer, {"ok": True, "data": {}})
            leaving = asyncio.create_task(reader.read())
            leaving.add_done_callback(lambda _: put(None))
            try:
                while (event := await waiting.get()) is not None:
                    await send(writer, event.as_line())
            finally:
                leaving.cancel()


async def ask(path: Path, command: Mapping[str, Any]) -> Any:
    """What the phone with the control socket at ``path`` answers to ``command``.

    Raises ``LocalFault`` when no phone runs there or it refuses, ``UsageError`` for a wrong command.
    """
    with _faults():
        return await local.ask(path, PHONE, command)


async def events(path: Path) -> AsyncIterator[dict[str, Any]]:
    """Everything that happens in the phone at ``path``, until it ends. Raises as ``ask`` does."""
    with _faults():
        async with local.connection(path, PHONE) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                await send(writer, {"command": "subscribe"})
                local.data(json.loads(await reader.readline()))
                while line := await reader.readline():
                    yield json.loads(line)


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """The socket's faults, as errors of this program."""
    try:
        yield
    except (Unreachable, Refusal) as fault:
        if fault.code == UsageError.code:
            raise UsageError(str(fault)) from None
        raise LocalFault(str(fault), code=fault.code) from None
