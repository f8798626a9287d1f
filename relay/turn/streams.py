"""The connections of clients over TCP and TLS: who is connected, and for how long without an allocation."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final, Literal, Protocol

from .attributes import Address
from .counters import Counters
from .effects import FiveTuple
from .sockets import address_from
from .tcp import ClientStream

MOST: Final = 4096
GRACE: Final = 30.0
"""Seconds that a connection may last without an allocation."""


class Server(Protocol):
    """What messages are for."""

    def receive(self, data: bytes, five_tuple: FiveTuple) -> None:
        """One message of a connection."""

    def disconnected(self, five_tuple: FiveTuple) -> None:
        """A connection is gone."""

    def serves(self, five_tuple: FiveTuple) -> bool:
        """Whether it has an allocation."""


class _Stream(ClientStream, asyncio.Protocol):
    """A client's connection as asyncio knows it."""


class Streams:
    """Every connection of one server."""

    def __init__(self, server: Server, counters: Counters) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._counters = counters
        self._listening: list[asyncio.Server] = []
        self._open: dict[FiveTuple, ClientStream] = {}
        self._closed = asyncio.Event()
        self._closed.set()

    async def listen(
        self, kind: Literal["tcp", "tls"], opened: socket.socket, context: ssl.SSLContext | None
    ) -> Address:
        """Take connections at a socket that is bound; returns where that is."""
        address = address_from(opened.getsockname())
        server = await self._loop.create_server(
            lambda: _Stream(self, kind, address, address_from), sock=opened, ssl=context
        )
        self._listening.append(server)
        return address

    async def close(self) -> None:
        """End every connection."""
        for server in self._listening:
            server.close()
        for stream in list(self._open.values()):
            stream.abort()
        await self._closed.wait()

    def send(self, to: FiveTuple, data: bytes) -> bool:
        """Send one message whole, or drop it whole and return False."""
        stream = self._open.get(to)
        return stream is not None and stream.send(data)

    def stream_opened(self, stream: ClientStream) -> None:
        """A connection stands; it has half a minute to allocate."""
        self._open[stream.five_tuple] = stream
        self._closed.clear()
        if len(self._open) > MOST:
            self._counters.drops["too-many-streams"] += 1
            stream.abort()
        else:
            self._loop.call_later(GRACE, self._reap, stream)

    def stream_message(self, stream: ClientStream, data: bytes) -> None:
        """One message of a connection."""
        self._server.receive(data, stream.five_tuple)

    def stream_closed(self, stream: ClientStream) -> None:
        """A connection is gone, and what it had allocated."""
        del self._open[stream.five_tuple]
        if not self._open:
            self._closed.set()
        self._server.disconnected(stream.five_tuple)

    def _reap(self, stream: ClientStream) -> None:
        if self._open.get(stream.five_tuple) is not stream:
            return
        if self._server.serves(stream.five_tuple):
            self._loop.call_later(GRACE, self._reap, stream)
        else:
            stream.abort()
