"""The way to a call's control channel: a DTLS handshake and an SCTP association on a path that loses packets.

Both are aiortc's. It waits for what was lost as the RFCs propose for any host: DTLS for 1 s and then twice as
long each time, SCTP for 3 s to begin with and never for less than 1 s. A caller hears every such wait, so
flights are repeated (see ``flights``) and SCTP waits for as long as the path's own round trips suggest.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from aiortc.rtcsctptransport import InitChunk, serialize_packet
from OpenSSL import SSL

from qcall.errors import Unavailable

from .flights import Flights

LABEL = "qcall-control"
FIRST_RTO = 0.3
"""Seconds until SCTP repeats a packet, before it knows the path (RFC 9260, section 16, proposes 1)."""
LEAST_RTO = 0.2
"""Seconds at least, once it does (also 1 there; browsers take 0.4)."""
FLUSH_POLL = 0.005


class RepeatedHandshake:
    """Takes hold of ``transport``, aiortc's ICE transport below a DTLS transport, while DTLS shakes hands."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._flights = Flights()
        self._send, self._recv = transport._send, transport._recv
        self._timer: asyncio.TimerHandle | None = None
        self._repeating: set[asyncio.Task[None]] = set()
        transport._send, transport._recv = self._sending, self._receiving

    def stop(self) -> None:
        """The handshake is over, or given up: let go of the transport."""
        self._flights.stop()
        self._transport._send, self._transport._recv = self._send, self._recv
        if self._timer is not None:
            self._timer.cancel()
        for each in self._repeating:
            each.cancel()

    async def _sending(self, datagram: bytes) -> None:
        self._flights.sent(datagram, time.monotonic())
        self._set_timer()
        await self._send(datagram)

    async def _receiving(self) -> bytes:
        datagram: bytes = await self._recv()
        self._flights.received(datagram)
        if self._flights.over:
            self.stop()
        return datagram

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if (deadline := self._flights.deadline) is not None:
            # The loop's clock is the monotonic one.
            self._timer = asyncio.get_running_loop().call_at(deadline, self._repeat)

    def _repeat(self) -> None:
        datagrams = self._flights.again(time.monotonic())
        task = asyncio.get_running_loop().create_task(self._send_again(datagrams))
        self._repeating.add(task)
        task.add_done_callback(self._repeating.discard)
        self._set_timer()

    async def _send_again(self, datagrams: list[bytes]) -> None:
        with contextlib.suppress(ConnectionError):
            for datagram in datagrams:
                await self._send(datagram)


class ControlChannel:
    """The data channel of ``connection``, an ``RTCPeerConnection``: reliable, in order, negotiated by both.

    ``on_message(message)`` and ``on_open()`` are plain callables.
    """

    def __init__(
        self, connection: Any, *, on_open: Callable[[], None], on_message: Callable[[bytes], None]
    ) -> None:
        self._channel = connection.createDataChannel(LABEL, negotiated=True, id=0)
        self._on_message = on_message
        self._channel.on("open", on_open)
        self._channel.on("message", self._received)
        self._sctp = connection.sctp
        self._aiortc_update_rto, self._aiortc_send_chunk = self._sctp._update_rto, self._sctp._send_chunk
        self._sctp._rto = FIRST_RTO
        self._sctp._update_rto = self._update_rto
        self._sctp._send_chunk = self._send_chunk

    def send(self, message: bytes) -> None:
        """Send ``message`` to the peer. Raises ``Unavailable`` when it cannot be."""
        if self._channel.readyState != "open":
            raise Unavailable("the connection to the other phone is not open; dial again")
        self._channel.send(message)

    async def flush(self, limit: float) -> bool:
        """Wait until the peer has acknowledged every message, for ``limit`` seconds; whether it has."""
        sctp = self._sctp
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self._channel.readyState == "open":
                    if not (sctp._data_channel_queue or sctp._outbound_queue or sctp._sent_queue):
                        return True
                    await asyncio.sleep(FLUSH_POLL)
        return False

    def _received(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            self._on_message(message)

    def _update_rto(self, round_trip: float) -> None:
        """After aiortc's own: the same estimate (RFC 9260, section 6.3.1) with a lower floor."""
        self._aiortc_update_rto(round_trip)
        self._sctp._rto = max(LEAST_RTO, self._sctp._srtt + 4 * self._sctp._rttvar)

    async def _send_chunk(self, chunk: Any) -> None:
        """As aiortc does, but every INIT has the verification tag 0 (RFC 9260, section 8.5.1).

        Both ends begin. From the peer's INIT aiortc knows the peer's tag, and puts it on its own INIT when
        that is repeated; the peer drops it. Where both answers to the first two INITs are lost, there would
        never be an association. Nor is it given up after eight repetitions: the agreement has its limits.

        A timer may run out while DTLS is being shut down; what cannot be sent then is lost like any packet.
        """
        sctp = self._sctp
        with contextlib.suppress(ConnectionError, SSL.Error):
            if not isinstance(chunk, InitChunk):
                await self._aiortc_send_chunk(chunk)
                return
            sctp._t1_failures = 0
            await sctp.transport._send_data(serialize_packet(sctp._local_port, sctp._remote_port, 0, chunk))
