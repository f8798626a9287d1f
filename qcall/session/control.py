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
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol, Self

from qcall.errors import LocalFault, QcallError, StorageError, UsageError

from . import commands
from .report import Event

log = logging.getLogger(__name__)

MAX_LINE: Final = 1 << 20
"""Bytes of a command or an answer."""
ANSWER_LIMIT: Final = 10.0
"""Seconds that a client waits for its answer."""
BACKLOG: Final = 1000
"""Events that wait for a follower which reads too slowly, before it is let go."""


class Desk(Protocol):
    """What carries out commands and tells events."""

    async def run(self, command: commands.Any) -> Any: ...
    def follow(self, follower: Callable[[Event], None]) -> AbstractContextManager[None]: ...


class ControlServer:
    """A listening control socket; made by :meth:`start`."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._desk = desk
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, path: Path, desk: Desk) -> Self:
        """Listen at ``path``; a socket that a dead phone left is replaced.

        Raises ``UsageError`` when a live phone has it, and ``StorageError``.
        """
        control = cls(path, desk)
        opened = _bind(path)
        control._server = await asyncio.start_unix_server(control._serve, sock=opened, limit=MAX_LINE)
        return control

    async def close(self) -> None:
        """Stop listening, hang up on every client and remove the socket's file."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        tasks = [task for task in self._open.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        # A line over the limit ends the connection, as does a client that is gone.
        with contextlib.suppress(ValueError, ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                try:
                    command = commands.decode(line)
                except ValueError as error:
                    known = ", ".join(sorted(commands.BY_NAME))
                    await _write(writer, _refusal("usage", f"{error}; the commands are {known}"))
                    continue
                if isinstance(command, commands.Subscribe):
                    await self._follow(reader, writer)
                    break
                await _write(writer, await self._answer(command))
        del self._open[writer]
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _answer(self, command: commands.Any) -> dict[str, Any]:
        try:
            return {"ok": True, "data": await self._desk.run(command)}
        except QcallError as error:
            return _refusal(error.code, str(error))
        except Exception:
            log.exception("control: %s failed", type(command).__name__)
            return _refusal("fault", "a fault of qcall itself; its log says more")

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            if waiting.qsize() < BACKLOG:
                waiting.put_nowait(event)
            else:
                writer.transport.abort()

        with self._desk.follow(put):
            await _write(writer, {"ok": True, "data": {}})
            leaving = asyncio.create_task(reader.read())
            leaving.add_done_callback(lambda _: put(None))
            try:
                while (event := await waiting.get()) is not None:
                    await _write(writer, event.as_line())
            finally:
                leaving.cancel()


async def ask(path: Path, command: Mapping[str, Any]) -> Any:
    """What the phone with the control socket at ``path`` answers to ``command``.

    Raises ``LocalFault`` when no phone runs there or it refuses, ``UsageError`` for a wrong command.
    """
    async with _connection(path) as (reader, writer):
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                await _write(writer, command)
                answer = json.loads(await reader.readline())
        except (TimeoutError, ConnectionError, ValueError):
            raise LocalFault("the phone did not answer; is it ending?") from None
    return _data(answer)


async def events(path: Path) -> AsyncIterator[dict[str, Any]]:
    """Everything that happens in the phone at ``path``, until it ends. Raises as ``ask`` does."""
    async with _connection(path) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            await _write(writer, {"command": "subscribe"})
            _data(json.loads(await reader.readline()))
            while line := await reader.readline():
                yield json.loads(line)


def _data(answer: Mapping[str, Any]) -> Any:
    if answer["ok"]:
        return answer["data"]
    code, text = answer["error"]["code"], answer["error"]["text"]
    raise UsageError(text) if code == UsageError.code else LocalFault(text, code=code)


async def _write(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()


def _refusal(code: str, text: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "text": text}}


@contextlib.asynccontextmanager
async def _connection(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        with _reachable(path) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=MAX_LINE)
    except PermissionError:
        raise LocalFault(f"{path} belongs to another user; run this as the phone's user") from None
    except OSError:
        raise LocalFault(
            f"no phone runs with the home {path.parent}; start qcall or qcall listen, or name its --home",
            code="not-running",
        ) from None
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits into a socket address, which holds 107 bytes (unix(7))."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _bind(path: Path) -> socket.socket:
    opened = _socket()
    try:
        with _reachable(path) as name:
            if path.exists():
                if opened.connect_ex(name) == 0:
                    raise UsageError(
                        f"a phone runs with the home {path.parent} already; use it by qcall control,"
                        " or choose another --home"
                    )
                path.unlink()
                opened.close()
                opened = _socket()
            opened.bind(name)
        opened.listen(16)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise StorageError(f"cannot make the control socket {path}: {error.strerror}") from None
    except BaseException:
        opened.close()
        raise
    return opened


def _socket() -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # On Linux the file that bind makes takes this mode: it is never open to others, not for a moment.
    os.fchmod(opened.fileno(), 0o600)
    return opened
