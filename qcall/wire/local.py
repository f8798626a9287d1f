"""Control sockets of running programs: a Unix socket at a path, open to its owner only.

Both phone and relay are driven this way, by lines of JSON: a request with a ``command``, and for each one
answer ``{"ok": true, "data": …}`` or ``{"ok": false, "error": {"code": …, "text": …}}``. Who listens at the
socket of a home has the home: that is how there is one phone, or one relay, in each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Converse: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LONGEST_NAME: Final = 107
"""Bytes that a socket address holds (unix(7))."""
MAX_LINE: Final = 1 << 20
"""Bytes of a request or an answer."""
NOT_RUNNING: Final = "not-running"
"""Code of the fault that nobody listens at a path."""
ANSWER_LIMIT: Final = 10.0
"""Seconds that a client waits for its answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which program listens at a path, in the words of its errors."""

    name: str
    if_running: str
    """What to do about one that runs already."""
    if_missing: str
    """What to do about none."""


class Fault(Exception):
    """What a control socket cannot do: one line that says why and what to do."""

    def __init__(self, text: str, code: str = "local-fault") -> None:
        super().__init__(text)
        self.code = code


class InUse(Fault):
    """A running program listens at this path."""


class Unusable(Fault):
    """No socket can be made at this path."""


class Unreachable(Fault):
    """Nobody answers at this path."""


class Refusal(Fault):
    """The program at this path did not do what it was asked for, and says why."""


class LineServer:
    """A listening control socket at ``path``; ``converse`` serves each client, and ends with it."""

    def __init__(self, path: Path, kind: Kind, converse: Converse) -> None:
        self._path = path
        self._kind = kind
        self._converse = converse
        self._open: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin; a socket that a dead program left is replaced. Raises ``InUse`` and ``Unusable``."""
        opened = bind(self._path, self._kind)
        self._server = await asyncio.start_unix_server(self._serve, sock=opened, limit=MAX_LINE)

    async def close(self) -> None:
        """Stop listening, hang up on every client and remove the socket's file."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        serving = list(self._open)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        # A line over the limit ends the connection, as does a client that is gone.
        with contextlib.suppress(ValueError, ConnectionError, asyncio.CancelledError):
            await self._converse(reader, writer)
        self._open.remove(task)
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def connection(path: Path, kind: Kind) -> AsyncIterator[Streams]:
    """A connection to the program that listens at ``path``. Raises ``Unreachable``."""
    try:
        with reachable(path) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=MAX_LINE)
    except PermissionError:
        raise Unreachable(f"{path} belongs to another user; run this as the {kind.name}'s user") from None
    except OSError:
        text = f"no {kind.name} runs with the home {path.parent}; {kind.if_missing}"
        raise Unreachable(text, NOT_RUNNING) from None
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    """Write one line."""
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()


async def ask(path: Path, kind: Kind, request: Mapping[str, Any]) -> Any:
    """What the program at ``path`` answers to ``request``. Raises ``Unreachable`` and ``Refusal``."""
    async with connection(path, kind) as (reader, writer):
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                await send(writer, request)
                answer = json.loads(await reader.readline())
        except (TimeoutError, ConnectionError, ValueError):
            raise Unreachable(f"the {kind.name} did not answer; is it ending?") from None
    return data(answer)


def data(answer: Mapping[str, Any]) -> Any:
    """What an answer says. Raises ``Refusal``."""
    if answer["ok"]:
        return answer["data"]
    raise Refusal(answer["error"]["text"], answer["error"]["code"])


def bind(path: Path, kind: Kind) -> socket.socket:
    """A listening, non-blocking socket at ``path``, of mode 0600; one that a dead program left is replaced.

    Raises ``InUse`` and ``Unusable``.
    """
    opened = _private()
    try:
        with reachable(path) as name:
            if path.exists():
                if opened.connect_ex(name) == 0:
                    raise InUse(f"a {kind.name} runs with the home {path.parent} already; {kind.if_running}")
                path.unlink()
                opened.close()
                opened = _private()
            opened.bind(name)
        opened.listen(16)
        opened.setblocking(False)
    except BaseException as error:
        opened.close()
        if isinstance(error, OSError):
            raise Unusable(f"cannot make the control socket {path}: {error.strerror}") from None
        raise
    return opened


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits into a socket address, however long the path is."""
    if len(os.fsencode(path)) <= LONGEST_NAME:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def refusal(code: str, text: str) -> dict[str, Any]:
    """The answer to a request that is not met."""
    return {"ok": False, "error": {"code": code, "text": text}}


def _private() -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # On Linux the file that bind makes takes this mode: it is never open to others, not for a moment.
    os.fchmod(opened.fileno(), 0o600)
    return opened
