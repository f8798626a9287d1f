"""The media connection of one call: ICE through the TURN relay, DTLS, RTP and a control channel, by aiortc.

aiortc's own audio path is not used, and its SRTP keys never are. For that, these private places of aiortc
and aioice are taken hold of; each has a contract test, and the versions are pinned to one minor:

    RTCDtlsTransport._setup_srtp, _srtp_profiles    SRTP keys come from the call's agreement
    RTCRtpReceiver.__jitter_buffer                  packets go straight to our playout buffer
    RTCRtpReceiver.__stop_decoder                   the decoder thread, which nothing feeds, ends at once
    RTCPeerConnection.__connect                     its task is ours to watch and to end
    aioice.Connection, see RelayedIce               relayed candidates only, prompt checks, prompt end
    RTCIceTransport, RTCSctpTransport, see channel  what a bad path loses is repeated soon
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_256_GCM, State
from aiortc.rtp import RtpPacket

from qcall.errors import LocalFault, PeerFault, QcallError, Unavailable, UsageError

from . import sdp
from .carrier import Carrier
from .channel import ControlChannel, RepeatedHandshake
from .devices import Sink, Source
from .earpiece import Earpiece
from .gathering import Relay as Relay
from .gathering import RelayedIce
from .handset import Handset
from .inbound import Inbound
from .mouthpiece import Mouthpiece
from .opus import SAMPLE_RATE, Encoder
from .processing import Processing
from .protection import Protection
from .srtp import SrtpEpochs, SrtpKeyPair
from .tones import Tones

EXPORTER_LABEL = b"EXPERIMENTAL-qcall-1"
EXPORTER_LENGTH = 48
CLOSE_LIMIT = 1.0
"""Seconds to take leave of the peer and the relay; what has not answered by then is left to expire."""
REPORT_INTERVAL = 1.0
"""Seconds between two looks at what the far phone reports (aiortc's own RTCP interval)."""

log = logging.getLogger(__name__)


class Tap:
    """Stands in the place of a receiver's jitter buffer: hands every packet on and keeps none."""

    def __init__(self, on_packet: Callable[[RtpPacket], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc calls for every packet; the answer says: nothing to request, nothing to decode."""
        self._on_packet(packet)
        return False, None


def ignore(*_: object) -> None:
    """An event that nobody waits for."""


class Peer:
    """One phone's end of the media connection. Make it inside a running event loop; always ``close`` it.

    ``exporter`` turns the DTLS exporter's 48 bytes (RFC 5705, bound to ``exporter_context()``) into the
    SRTP keys of epoch 0. ``source`` and ``sink`` are closed with the peer. Nothing is sent before
    ``start_sending``, and nothing of the far user is played before ``start_playing``; ``tones`` are this
    phone's own. ``processing`` cleans what the microphone picks up; ``handset`` is what the user has of it.

    Events are plain callables, assigned before ``offer`` or ``answer``: ``on_connected`` (DTLS is up),
    ``on_control_open``, ``on_control(message)``, ``on_first_audio``, ``on_digit(digit)``, and
    ``on_failed(error)``, at most once and never after ``close``.
    """

    def __init__(
        self,
        *,
        turn: Relay,
        exporter: Callable[[bytes], SrtpKeyPair],
        exporter_context: Callable[[], bytes],
        source: Source,
        sink: Sink,
        tones: Tones | None = None,
        processing: Processing | None = None,
        frame_ms: int = 20,
        bitrate: int = 32_000,
        copies: bool = True,
        playout_delay: float = 0.01,
    ) -> None:
        self.on_connected: Callable[[], None] = ignore
        self.on_control_open: Callable[[], None] = ignore
        self.on_control: Callable[[bytes], None] = ignore
        self.on_first_audio: Callable[[], None] = ignore
        self.on_digit: Callable[[str], None] = ignore
        self.on_failed: Callable[[QcallError], None] = ignore
        self.srtp: SrtpEpochs | None = None
        self.heard_at: float | None = None
        """When the last authentic packet of speech came, in seconds on the monotonic clock."""
        self._carrier: Carrier | None = None
        self._copies = copies
        self._exporter = exporter
        self._exporter_context = exporter_context
        self._inbound = Inbound(initial=playout_delay)
        self._ear = Earpiece(sink, self._inbound.pull, tones or Tones(enabled=False))
        self._mouth = Mouthpiece(source, Encoder(frame_ms=frame_ms, bitrate=bitrate), self._on_fault)
        self.handset = Handset(self._mouth, self._ear, self._feed_sink)
        self.handset.change_processing(processing)
        self._heard = False
        self._playing: asyncio.Task[None] | None = None
        self._remote_report: dict[str, Any] = {}
        self._failed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._connection: Any = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[RTCIceServer(f"turn:{turn.host}:{turn.port}", turn.username, turn.password)],
                iceTransportPolicy=RTCIceTransportPolicy.RELAY,
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        self._take_hold(turn)

    def _take_hold(self, turn: Relay) -> None:
        """Build the one transport with its audio and control sections, and take the private places."""
        self._sender = self._connection.addTrack(self._mouth)
        (transceiver,) = self._connection.getTransceivers()
        capabilities = RTCRtpReceiver.getCapabilities("audio")
        assert capabilities is not None
        transceiver.setCodecPreferences([c for c in capabilities.codecs if c.mimeType == "audio/opus"])
        self._receiver = transceiver.receiver
        self._receiver._RTCRtpReceiver__jitter_buffer = Tap(self._on_packet)
        self._dtls = self._receiver.transport
        self._dtls._srtp_profiles = [SRTP_AEAD_AES_256_GCM]
        self._dtls._setup_srtp = self._setup_srtp
        self._dtls.on("statechange", self._on_dtls_state)
        self._connection.on("connectionstatechange", self._on_connection_state)
        self._ice = RelayedIce(self._dtls.transport._connection, turn)
        self._handshake = RepeatedHandshake(self._dtls.transport)
        self._control = ControlChannel(
            self._connection,
            on_open=lambda: self.on_control_open(),
            on_message=lambda message: self.on_control(message),
        )
        self._aiortc_connect = self._connection._RTCPeerConnection__connect
        self._connection._RTCPeerConnection__connect = self._connect

    async def offer(self) -> str:
        """The caller's SDP. Raises ``Unavailable`` when the relay gives no media address."""
        offer = await self._connection.createOffer()
        await self._describe(sdp.bare(offer.sdp), "offer")
        return str(self._connection.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        """The callee's SDP for the caller's ``offer``; connecting begins.

        Raises ``PeerFault`` when the offer is not acceptable, ``Unavailable`` as ``offer`` does.
        """
        sdp.check(offer)
        await self._accept(offer, "offer")
        answer = await self._connection.createAnswer()
        await self._describe(sdp.passive(answer.sdp), "answer")
        return str(self._connection.localDescription.sdp)

    async def accept_answer(self, answer: str) -> None:
        """Take the callee's SDP; connecting begins. Raises ``PeerFault`` when it is not acceptable."""
        sdp.check(answer)
        await self._accept(answer, "answer")

    def start_sending(self) -> None:
        """Let the source's speech onto the connection."""
        self._mouth.allow()
        self._start(self._watch_reports())

    def start_playing(self) -> None:
        """Let the peer's speech out of the sink."""
        self._inbound.playing = self._ear.playing = True
        self._feed_sink()

    @property
    def checked_at(self) -> float | None:
        """When the peer last checked for consent, in seconds on the monotonic clock."""
        return self._ice.checked_at

    def send_digits(self, digits: str) -> None:
        """Send keypad digits (0-9, *, #, A-D). Raises ``UsageError`` for others, and for too many."""
        if self._carrier is None:
            raise Unavailable("the connection to the other phone is not open; dial again")
        try:
            self._carrier.digits.press(digits)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def send_control(self, message: bytes) -> None:
        """Send ``message`` to the peer, reliably and in order. Raises ``Unavailable`` when it cannot be."""
        self._control.send(message)

    async def flush_control(self, limit: float) -> bool:
        """Wait until the peer has acknowledged every message, for ``limit`` seconds; whether it has."""
        return await self._control.flush(limit)

    def stats(self) -> dict[str, float | int]:
        """The numbers of the call, called as in the W3C's webrtc-stats; times in seconds."""
        remote = self._remote_report
        report: dict[str, float | int] = {
            **self._inbound.stats(),
            "packetsSent": self._mouth.packets_sent,
            "droppedSamplesDuration": self._mouth.samples_dropped / SAMPLE_RATE,
            "bytesSent": self._carrier.bytes_sent if self._carrier else 0,
            "srtpAuthenticationFailures": self.srtp.failures if self.srtp else 0,
        }
        if self._carrier is not None:
            report["redundantPacketsReceived"] = self._carrier.copies_received
            report["redundantPacketsSent"] = self._carrier.copies_sent
        if (round_trip := remote.get("roundTripTime")) is not None:
            report["roundTripTime"] = round_trip
            report["fractionLost"] = remote["fractionLost"] / 256
        return report

    async def close(self) -> None:
        """End everything and give everything back, soon; may be called at any time, and twice."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        playing = [task for task in self._tasks if task.get_name() != "connect"]
        for task in playing:
            task.cancel()
        self._ice.stop()
        self._handshake.stop()
        self._mouth.stop()
        closing = asyncio.create_task(self._connection.close())
        await asyncio.wait({closing}, timeout=CLOSE_LIMIT)
        self._ice.abandon()
        await asyncio.wait({closing, *self._tasks}, timeout=CLOSE_LIMIT)
        if self.srtp is not None:
            self.srtp.wipe()
        self.handset.close()

    async def _describe(self, description: str, kind: str) -> None:
        """Set our own description, which allocates at the relay."""
        await self._connection.setLocalDescription(RTCSessionDescription(description, kind))

    async def _accept(self, description: str, kind: str) -> None:
        """Set the peer's description."""
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(description, kind))
        except Exception as error:  # aiortc answers with many kinds of error what it does not like.
            raise sdp.refused("it does not fit ours") from error

    async def _connect(self) -> None:
        """aiortc's connecting task, with its end and its faults known to us."""
        task = asyncio.current_task()
        assert task is not None
        task.set_name("connect")
        self._tasks.add(task)
        try:
            await self._aiortc_connect()
            self._receiver._RTCRtpReceiver__stop_decoder()
        except Exception as error:
            self._fail(Unavailable(f"the media connection failed ({type(error).__name__}); dial again"))
        finally:
            self._tasks.discard(task)

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        """A task that ends by itself is a fault: one direction would fall silent, and nobody know why."""
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_fault(error)

    def _setup_srtp(self) -> None:
        """Key SRTP from the agreement; in the place of aiortc's keying from DTLS (RFC 5764, section 4.2)."""
        ssl = self._dtls._ssl
        if ssl.get_selected_srtp_profile() != SRTP_AEAD_AES_256_GCM.openssl_profile:
            self._fail(PeerFault("the other phone does not speak AEAD_AES_256_GCM", code="bad-profile"))
            self._dtls._set_state(State.FAILED)
            return
        exported = ssl.export_keying_material(EXPORTER_LABEL, EXPORTER_LENGTH, self._exporter_context())
        try:
            self.srtp = SrtpEpochs(self._exporter(exported))
        except QcallError as error:
            self._fail(error)
            self._dtls._set_state(State.FAILED)
            return
        self._carrier = Carrier(
            self.srtp,
            on_copy=self._on_copy,
            on_protection=self._on_protection,
            on_digit=lambda digit: self.on_digit(digit),
            on_fault=self._on_fault,
            copies=self._copies,
        )
        self._on_protection(self._carrier.model.protection)
        self._dtls._tx_srtp = self._dtls._rx_srtp = self._carrier

    def _on_dtls_state(self) -> None:
        if self._dtls.state == "connected":
            self.on_connected()

    def _on_connection_state(self) -> None:
        match self._connection.connectionState:
            case "failed":
                self._fail(Unavailable("the media connection to the other phone failed; dial again"))
            case "closed":
                self._fail(PeerFault("the other phone closed the media connection", code="media-closed"))

    def _on_packet(self, packet: RtpPacket) -> None:
        self.heard_at = now = time.monotonic()
        with self._told():
            self._inbound.packet(packet.sequence_number, packet.timestamp, packet.payload, now)

    def _on_copy(self, timestamp: int, payload: bytes) -> None:
        with self._told():
            self._inbound.copy(timestamp, payload, time.monotonic())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """A fault is told as ours: aiortc would close the connection, as if the far phone had hung up."""
        try:
            yield
        except Exception as error:
            self._on_fault(error)

    def _on_protection(self, protection: Protection) -> None:
        self._mouth.encoder.expected_loss = protection.expected_loss

    def _feed_sink(self) -> None:
        if self._playing is None:
            self._playing = self._start(self._ear.run(self._on_block))

    def _on_block(self) -> None:
        if self._inbound.heard and not self._heard:
            self._heard = True
            self.on_first_audio()

    async def _watch_reports(self) -> None:
        """Keep what the far phone reports of our speech, for ever."""
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            for report in (await self._sender.getStats()).values():
                if report.type == "remote-inbound-rtp":
                    self._remote_report = {
                        "roundTripTime": report.roundTripTime,
                        "fractionLost": report.fractionLost,
                    }

    def _on_fault(self, error: Exception) -> None:
        """Sound cannot go on in one of its directions: neither does the call."""
        if self._failed:
            return
        if not isinstance(error, QcallError):
            log.error("a fault of qcall itself ended the sound of a call", exc_info=error)
            error = LocalFault("a fault of qcall itself ended the call; please report it", code="fault")
        self._fail(error)

    def _fail(self, error: QcallError) -> None:
        if self._closing is None and not self._failed:
            self._failed = True
            self.on_failed(error)
