"""The running relay's control socket (Unix, mode 0600): one JSON object a line in each direction.

    {"command": "status"}                          → {"ok": true, "data": {...}}
    {"command": "fault", "action": "cut", ...}     → {"ok": false, "error": {"code": "usage", "text": "..."}}

Who may open the socket's file owns the relay, so nothing else is asked. The composition root says which
commands there are; ``ask`` is the client's side of one of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from qcall.wire import local
from qcall.wire.local import InUse, LineServer, Refusal, Unreachable, Unusable, refusal, send

from .errors import AddressInUse, LocalFault, Refused, RelayError, StorageError, UsageError

RELAY: Final = local.Kind(
    "relay",
    if_running="stop it or choose another --home",
    if_missing="start relay serve, or name its home with --home",
)
BUSY: Final = "starting"
"""Code of a refusal while there are no commands."""

log = logging.getLogger(__name__)

Arguments: TypeAlias = Mapping[str, Any]
Command: TypeAlias = Callable[[Arguments], Awaitable[Any]]
"""Gets the request without its ``command``; returns what JSON can say; raises ``RelayError`` to refuse."""


class ControlServer:
    """A listening control socket; made by :meth:`start`."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._server = LineServer(path, RELAY, self._converse)

    @classmethod
    async def start(cls, path: Path, commands: Mapping[str, Command]) -> Self:
        """Listen at ``path``; ``commands`` may be filled later, and emptied before the relay ends.

        A socket that a dead relay left is replaced. Raises ``AddressInUse`` when a live relay has it, and
        ``StorageError``.
        """
        control = cls(path, commands)
        try:
            await control._server.listen()
        except InUse as fault:
            raise AddressInUse(str(fault)) from None
        except Unusable as fault:
            raise StorageError(str(fault)) from None
        return control

    async def close(self) -> None:
        """Stop listening, hang up on every client and remove the socket's file."""
        await self._server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            name = request.pop("command")
            command = self._commands[name]
        except (ValueError, AttributeError, TypeError, KeyError):
            if not self._commands:
                return refusal(BUSY, "the relay is starting or ending; try again in a moment")
            known = ", ".join(sorted(self._commands))
            return refusal("usage", f"not a command of this relay; it knows {known}")
        try:
            return {"ok": True, "data": await command(request)}
        except RelayError as error:
            return refusal(error.code, str(error))
        except Exception:
            log.exception("control: %s failed", name)
            return refusal("fault", f"{name} failed inside the relay; its log says why")


async def ask(path: Path, command: str, **arguments: Any) -> Any:
    """What the relay with the control socket at ``path`` answers.

    Raises ``LocalFault`` when no relay runs there, ``UsageError`` for wrong arguments, and ``Refused``.
    """
    try:
        return await local.ask(path, RELAY, {"command": command, **arguments})
    except Unreachable as fault:
        raise LocalFault(str(fault), code=fault.code) from None
    except Refusal as fault:
        if fault.code == UsageError.code:
            raise UsageError(str(fault)) from None
        raise Refused(str(fault), code=fault.code) from None
