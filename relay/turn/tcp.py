"""TURN over a stream, plain or under TLS (RFC 8656 §3.1): one client's connection, cut into messages.

It is an asyncio protocol in all but the base class, which ``udp.py`` adds. A client that reads too slowly
loses datagrams, as it would over UDP, instead of making the server keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from .attributes import Address, Malformed
from .effects import FiveTuple
from .message import frame_size

WRITE_BUFFER_LIMIT: Final = 256 << 10
"""Bytes that may wait for a slow client."""


class StreamTransport(Protocol):
    """What is used of ``asyncio.Transport``."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def get_extra_info(self, name: str) -> Any: ...
    def get_write_buffer_size(self) -> int: ...


class StreamOwner(Protocol):
    """The server, to which messages and the ends of connections are told."""

    def stream_opened(self, stream: ClientStream) -> None: ...
    def stream_message(self, stream: ClientStream, data: bytes) -> None: ...
    def stream_closed(self, stream: ClientStream) -> None: ...


class ClientStream:
    """One connection from a client to ``server``."""

    def __init__(
        self,
        owner: StreamOwner,
        kind: Literal["tcp", "tls"],
        server: Address,
        address: Callable[[Any], Address],
    ) -> None:
        self._owner = owner
        self._kind: Literal["tcp", "tls"] = kind
        self._server = server
        self._address = address
        self._buffer = bytearray()
        self._transport: StreamTransport | None = None
        self.five_tuple: FiveTuple

    def connection_made(self, transport: Any) -> None:
        """The connection stands; under TLS, the handshake is done."""
        self._transport = transport
        client = self._address(transport.get_extra_info("peername"))
        self.five_tuple = FiveTuple(self._kind, client, self._server)
        self._owner.stream_opened(self)

    def data_received(self, data: bytes) -> None:
        """Hand on every message that is whole; what no message can begin with ends the connection."""
        self._buffer += data
        try:
            while (size := frame_size(self._buffer)) is not None and size <= len(self._buffer):
                message = bytes(self._buffer[:size])
                del self._buffer[:size]
                self._owner.stream_message(self, message)
        except Malformed:
            self.abort()

    def eof_received(self) -> None:
        """The client has finished, and so has the server."""

    def connection_lost(self, _: Exception | None) -> None:
        """Either side has ended the connection."""
        self._transport = None
        self._owner.stream_closed(self)

    def send(self, data: bytes) -> bool:
        """Write one message whole, or drop it whole and return False."""
        if self._transport is None or self._transport.get_write_buffer_size() > WRITE_BUFFER_LIMIT:
            return False
        self._transport.write(data)
        return True

    def abort(self) -> None:
        """End the connection now, without what may still be unsent."""
        self._buffer.clear()
        if self._transport is not None:
            self._transport.abort()
