"""One phone's WebSocket, as the server sees it: messages in, messages out, an end with a reason."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from qcall.wire.signalling import (
    VERSION,
    BadMessage,
    Code,
    FromPhone,
    FromRelay,
    Rejected,
    decode_from_phone,
    encode,
)

CLOSING_LIMIT = 1.0
"""Seconds for a phone to take its last message."""
BACKLOG = 256
"""Messages that wait for a phone which reads too slowly."""

REJECTIONS = {
    Code.VERSION: f"this relay speaks version {VERSION} of the signalling protocol; install the same release",
    Code.BAD_MESSAGE: "the relay could not read what this phone sent; install the same release on both",
    Code.BAD_NAME: "a user name is 1 to 32 of a-z, 0-9 and, after the first, also . _ -; choose another",
    Code.BAD_SIGNATURE: "the signatures of the enrolment are wrong; run the set-up again",
    Code.NOT_ENROLLED: "this relay does not know this name and identity; ask its operator for an invite",
    Code.INVITE: "this invite is not valid; ask the relay's operator for a new one",
    Code.NAME_TAKEN: "this name has been taken; ask the relay's operator for an invite for another",
    Code.BAD_REQUEST: "the certificate request is not valid; run the set-up again",
    Code.SUPERSEDED: "another phone has logged in under this name; this one is offline now",
    Code.TIMEOUT: "the relay heard nothing from this phone for too long; connect again",
    Code.FAULT: "the relay has a fault of its own; its operator finds it in the relay's log",
    Code.BUSY: "too many attempts from this address; wait a minute, then try again",
}
"""What the phone's user reads."""


class Rejection(Exception):
    """The connection ends, and the phone is told why."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class Connection:
    """One WebSocket, written to by one task from a bounded queue: a slow phone holds up nobody else."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._socket = socket
        self._transport = transport
        self._queue: asyncio.Queue[FromRelay | None] = asyncio.Queue(BACKLOG)
        self._writer = asyncio.create_task(self._write(), name="signalling writer")
        self.turn_renewal = 0.0
        """When the phone is due for fresh TURN credentials, in unix seconds."""

    async def receive(self) -> FromPhone | None:
        """The next message; ``None`` when the connection is over."""
        frame = await self.receive_frame()
        return None if frame is None else read(frame)

    async def receive_frame(self) -> bytes | None:
        """The next message, not decoded."""
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            raise Rejection(Code.BAD_MESSAGE)
        return message.data if message.type is WSMsgType.BINARY else None

    def send(self, message: FromRelay | None) -> None:
        """Queue ``message``; ``None``, and a rejection, end the connection once they are written."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._transport.abort()

    def reject(self, code: Code) -> None:
        """Say why, and end."""
        self.send(Rejected(code, REJECTIONS[code]))

    async def _write(self) -> None:
        try:
            while message := await self._queue.get():
                await self._socket.send_bytes(encode(message))
                if isinstance(message, Rejected):
                    break
            await self._socket.close()
        except (ConnectionError, RuntimeError):
            self._transport.abort()

    async def close(self) -> None:
        """Write what is queued, within a limit, and end."""
        self.send(None)
        done, _ = await asyncio.wait((self._writer,), timeout=CLOSING_LIMIT)
        if not done:
            self._writer.cancel()
            self._transport.abort()
            await asyncio.wait((self._writer,))


def read(frame: bytes) -> FromPhone:
    """A message from ``frame``; raises ``Rejection``."""
    try:
        return decode_from_phone(frame)
    except BadMessage:
        raise Rejection(Code.BAD_MESSAGE) from None
