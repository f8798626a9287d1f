"""The running relay's control socket (Unix, mode 0600): one JSON object a line in each direction.

    {"command": "status"}                          → {"ok": true, "data": {...}}
    {"command": "fault", "action": "cut", ...}     → {"ok": false, "error": {"code": "usage", "text": "..."}}

Who may open the socket's file owns the relay, so nothing else is asked. The composition root says which
commands there are; ``ask`` is the client's side of one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

from qcall.wire.local import InUse, LineServer, connection, exchange, refusal, send

from .errors import AddressInUse, LocalFault, Refused, RelayError, StorageError, UsageError

log = logging.getLogger(__name__)

Arguments: TypeAlias = Mapping[str, Any]
Command: TypeAlias = Callable[[Arguments], Awaitable[Any]]
"""Gets the request without its ``command``; returns what JSON can say; raises ``RelayError`` to refuse."""


class ControlServer:
    """A listening control socket; made by :meth:`start`."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._server = LineServer(path, self._converse)

    @classmethod
    async def start(cls, path: Path, commands: Mapping[str, Command]) -> Self:
        """Listen at ``path``; commands may still be added to ``commands`` later.

        A socket that a dead relay left is replaced. Raises ``AddressInUse`` when a live relay has it, and
        ``StorageError``.
        """
        control = cls(path, commands)
        try:
            await control._server.listen()
        except InUse:
            raise taken(path) from None
        except OSError as error:
            raise StorageError(f"cannot make the control socket {path}: {error.strerror}") from None
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
            known = ", ".join(sorted(self._commands))
            return refusal("usage", f"not a command of this relay; it knows {known}")
        try:
            return {"ok": True, "data": await command(request)}
        except RelayError as error:
            return refusal(error.code, str(error))
        except Exception:
            log.exception("control: %s failed", name)
            return refusal("fault", f"{name} failed inside the relay; its log says why")


async def alone(path: Path) -> None:
    """Raise ``AddressInUse`` when a live relay has the control socket ``path``."""
    with contextlib.suppress(OSError):
        async with connection(path):
            raise taken(path)


def taken(path: Path) -> AddressInUse:
    """One home, one relay."""
    return AddressInUse(f"a relay runs with the home {path.parent} already; stop it or choose another --home")


async def ask(path: Path, command: str, **arguments: Any) -> Any:
    """What the relay with the control socket at ``path`` answers.

    Raises ``LocalFault`` when no relay runs there, ``UsageError`` for wrong arguments, and ``Refused``.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            streams = await stack.enter_async_context(connection(path))
        except PermissionError:
            raise LocalFault(f"{path} belongs to another user; run this as the relay's user") from None
        except OSError:
            raise LocalFault(
                f"no relay runs with the home {path.parent}; start relay serve, or name its home with --home"
            ) from None
        try:
            answer = await exchange(streams, {"command": command, **arguments})
        except (TimeoutError, ConnectionError, ValueError):
            raise LocalFault("the relay did not answer; is it shutting down?") from None
    if answer["ok"]:
        return answer["data"]
    code, text = answer["error"]["code"], answer["error"]["text"]
    raise UsageError(text) if code == UsageError.code else Refused(text, code=code)
