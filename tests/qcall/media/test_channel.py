"""The control channel on a path that loses packets, and what of aiortc it takes hold of."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcsctptransport import InitAckChunk, InitChunk, RTCSctpTransport
from OpenSSL import SSL

from qcall.errors import Unavailable
from qcall.media import flights
from qcall.media.channel import FIRST_RTO, LEAST_RTO, ControlChannel, RepeatedHandshake


def calls(function: Any, *names: str) -> None:
    source = inspect.getsource(function)
    for name in names:
        assert name in source, (
            f"{function.__qualname__} no longer uses {name}: look at qcall/media/channel.py"
        )


def test_aiortc_sends_receives_and_waits_in_replaceable_places() -> None:
    calls(
        RTCIceTransport.__init__, "self._recv = self._connection.recv", "self._send = self._connection.send"
    )
    calls(RTCDtlsTransport._write_ssl, "self.transport._send(")
    calls(RTCDtlsTransport._recv_next, "self.transport._recv()")
    calls(RTCSctpTransport._t1_start, "call_later(self._rto")
    calls(RTCSctpTransport._t1_expired, "self._send_chunk(self._t1_chunk)", "self._t1_failures")
    calls(RTCSctpTransport._update_rto, "self._srtt", "self._rttvar")
    calls(RTCSctpTransport.__init__, "self._data_channel_queue", "self._outbound_queue", "self._sent_queue")


@pytest.fixture
async def channel() -> AsyncIterator[ControlChannel]:
    connection = RTCPeerConnection()
    yield ControlChannel(connection, on_open=lambda: None, on_message=lambda _: None)
    await connection.close()


async def tags(channel: ControlChannel, monkeypatch: pytest.MonkeyPatch, *chunks: Any) -> list[int]:
    """The verification tags of what is sent once the peer's is known."""
    sent: list[bytes] = []

    async def send_data(packet: bytes) -> None:
        sent.append(packet)

    sctp = channel._sctp
    monkeypatch.setattr(sctp.transport, "_send_data", send_data)
    sctp._remote_verification_tag, sctp._remote_port = 7, 5000
    for chunk in chunks:
        await sctp._send_chunk(chunk)
    return [int.from_bytes(packet[4:8]) for packet in sent]


async def test_a_repeated_init_is_one_that_the_peer_accepts(
    channel: ControlChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await tags(channel, monkeypatch, InitChunk(), InitAckChunk()) == [0, 7]


async def test_an_association_is_tried_for_as_long_as_there_is_patience(
    channel: ControlChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel._sctp._t1_failures = 8
    await tags(channel, monkeypatch, InitChunk())
    assert channel._sctp._t1_failures == 0


@pytest.mark.parametrize(
    "error", [SSL.Error([("SSL routines", "", "protocol is shutdown")]), ConnectionError()]
)
async def test_what_comes_due_while_dtls_is_shut_down_is_lost(
    channel: ControlChannel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def shut(_: bytes) -> None:
        raise error

    sctp = channel._sctp
    sctp._remote_port = 5000
    monkeypatch.setattr(sctp.transport, "_send_data", shut)
    for chunk in (InitChunk(), InitAckChunk()):
        await sctp._send_chunk(chunk)


async def test_sctp_waits_for_as_long_as_the_path_takes(channel: ControlChannel) -> None:
    sctp = channel._sctp
    assert sctp._rto == FIRST_RTO
    for _ in range(20):
        sctp._update_rto(0.012)
    assert sctp._rto == LEAST_RTO
    for _ in range(20):
        sctp._update_rto(0.6)
    assert 0.6 < sctp._rto < 1.2


async def test_nothing_is_said_before_the_channel_is_open(channel: ControlChannel) -> None:
    with pytest.raises(Unavailable, match="dial again"):
        channel.send(b"hello")
    assert not await channel.flush(0.0)


class Wire:
    """An ICE transport of aiortc, as far as DTLS uses it; whoever waits for datagrams is told."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.coming: asyncio.Queue[bytes] = asyncio.Queue()
        self.news = asyncio.Condition()

    async def _send(self, datagram: bytes) -> None:
        async with self.news:
            self.sent.append(datagram)
            self.news.notify_all()

    async def _recv(self) -> bytes:
        return await self.coming.get()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(lambda: len(self.sent) >= count)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "GAPS", (0.0,) * 12)


@pytest.mark.usefixtures("at_once")
async def test_a_flight_is_repeated_until_there_is_an_answer_of_the_far_phone() -> None:
    wire: Any = Wire()
    handshake = RepeatedHandshake(wire)
    await wire._send(b"\x16hello")
    await wire.until(3)
    assert set(wire.sent) == {b"\x16hello"}
    wire.coming.put_nowait(b"\x17data")
    assert await wire._recv() == b"\x17data"
    assert (wire._send, wire._recv) == (handshake._send, handshake._recv), "media goes its way untouched"


@pytest.mark.usefixtures("at_once")
async def test_a_closed_connection_ends_the_repetitions() -> None:
    wire: Any = Wire()
    handshake = RepeatedHandshake(wire)
    await wire._send(b"\x16hello")
    await wire.until(2)
    handshake.stop()
    before = len(wire.sent)
    await asyncio.sleep(0)
    assert len(wire.sent) == before


@pytest.mark.usefixtures("at_once")
async def test_a_path_that_is_gone_raises_nothing() -> None:
    wire: Any = Wire()
    tried = asyncio.Event()

    async def gone(_: bytes) -> None:
        tried.set()
        raise ConnectionError

    wire._send = gone
    handshake = RepeatedHandshake(wire)
    with pytest.raises(ConnectionError):
        await wire._send(b"\x16hello")
    tried.clear()
    await asyncio.wait_for(tried.wait(), 10)
    handshake.stop()
