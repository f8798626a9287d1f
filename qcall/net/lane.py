"""One WebSocket to a relay: messages instead of frames, and errors a user can read instead of exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from typing import TypeVar

import aiohttp

from qcall.errors import RelayRefused, Unavailable
from qcall.wire.signalling import (
    MAX_FRAME,
    PATH,
    VERSION,
    BadMessage,
    Challenge,
    Code,
    FromPhone,
    FromRelay,
    Hello,
    Rejected,
    decode_from_relay,
    encode,
)

from .address import RelayAddress

M = TypeVar("M", bound=FromRelay)

CONNECT_LIMIT = 10.0
"""Seconds from the first packet to an open WebSocket, and from there to Welcome or Enrolled."""
CLOSE_LIMIT = 1.0
"""Seconds for the relay to say goodbye."""


class Lost(Exception):
    """The connection is over, or was never made."""


class Lane:
    """An open WebSocket. Raises `Lost` when it is over, ``RelayRefused`` when the relay refuses."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: FromPhone) -> None:
        """Send ``message``."""
        try:
            await self._socket.send_bytes(encode(message))
        except (ConnectionError, RuntimeError) as error:
            raise Lost(str(error)) from None

    async def receive(self) -> FromRelay:
        """The next message; a relay that says no raises its reason."""
        frame = await self._socket.receive()
        if frame.type is not aiohttp.WSMsgType.BINARY:
            raise Lost("the relay closed the connection")
        try:
            message = decode_from_relay(frame.data)
        except BadMessage:
            raise RelayRefused(
                f"this relay does not speak version {VERSION} of signalling; install the release it runs",
                code=Code.VERSION,
            ) from None
        if isinstance(message, Rejected):
            raise RelayRefused(_one_line(message.text), code=message.code)
        return message

    async def expect(self, kind: type[M]) -> M:
        """The next message, which must be a ``kind``."""
        message = await self.receive()
        if not isinstance(message, kind):
            raise Lost("the relay sent what does not belong here")
        return message

    async def challenge(self, name: str) -> Challenge:
        """Say hello and be challenged."""
        await self.send(Hello(VERSION, name))
        return await self.expect(Challenge)


@contextlib.asynccontextmanager
async def dial(relay: RelayAddress, ca_pem: bytes | None) -> AsyncIterator[Lane]:
    """An open WebSocket; closed, whatever happens, on the way out."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_LIMIT)
    limits = aiohttp.ClientWSTimeout(ws_close=CLOSE_LIMIT)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector(relay, ca_pem)) as session:
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                socket = await session.ws_connect(
                    http_url(relay, PATH), max_msg_size=MAX_FRAME, timeout=limits
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unavailable(relay, reason(error)) from None
        async with socket:
            yield Lane(socket)


def connector(relay: RelayAddress, ca_pem: bytes | None) -> aiohttp.TCPConnector:
    """The way to ``relay``, over TLS of the authority ``ca_pem`` where it is not on this machine."""
    if not relay.tls:
        return aiohttp.TCPConnector()
    context = ssl.create_default_context(cadata=None if ca_pem is None else ca_pem.decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return aiohttp.TCPConnector(ssl=context)


async def whole(relay: RelayAddress, response: aiohttp.ClientResponse, limit: int) -> bytes:
    """All of an answer's body. Raises :class:`Unavailable` when it is longer than ``limit`` bytes."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise unavailable(relay, f"it answered with more than {limit} bytes")
    return bytes(body)


def http_url(relay: RelayAddress, path: str) -> str:
    """Where ``path`` of that relay is."""
    return str(relay).replace("ws", "http", 1) + path


def reason(error: Exception) -> str:
    """What of ``error`` helps a user."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not of the relay that this phone knows"
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status == 429:
            return "too many attempts from here; wait a minute"
        return f"it answered {error.status} instead of signalling"
    if isinstance(error, TimeoutError):
        return "no answer"
    number = getattr(error, "errno", None)
    if number is not None and number > 0:
        return os.strerror(number).lower()  # the libraries add addresses, which are said already
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def unavailable(relay: RelayAddress, reason: str = "") -> Unavailable:
    """One line for a relay that is not there."""
    why = f" ({_one_line(reason)})" if reason else ""
    return Unavailable(
        f"cannot reach the relay at {relay}{why}; check that it runs and that the URL is right"
    )


def _one_line(text: str) -> str:
    """A relay's text, fit for a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:256]
