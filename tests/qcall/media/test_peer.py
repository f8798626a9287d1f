"""The private places of aiortc and aioice that ``qcall.media.peer`` takes hold of: do they still exist?

Each fails with what to look at when a new version has moved one of them.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from typing import Any

import aioice
import pytest
from aioice import ice, turn
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from aiortc.rtp import RtpPacket

from qcall.crypto.secret import Secret
from qcall.errors import DeviceError, QcallError
from qcall.media.carrier import Carrier
from qcall.media.devices import NullSink, NullSource
from qcall.media.opus import OpusError, Samples
from qcall.media.peer import Peer, Relay, Tap
from qcall.media.srtp import SrtpKeyPair


def keys(_: bytes) -> SrtpKeyPair:
    return SrtpKeyPair(Secret(bytes(44)), Secret(bytes(44)))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer(
        turn=Relay("127.0.0.1", 9, "user", "password"),
        exporter=keys,
        exporter_context=lambda: b"th4",
        source=NullSource(),
        sink=NullSink(),
    )
    yield made
    await made.close()


def calls(function: Any, *names: str) -> None:
    source = inspect.getsource(function)
    for name in names:
        assert name in source, f"{function.__qualname__} no longer uses {name}: look at qcall/media/peer.py"


def test_dtls_keys_srtp_in_one_replaceable_method() -> None:
    calls(RTCDtlsTransport.start, "self._setup_srtp()", "srtp_profiles=self._srtp_profiles")
    calls(RTCDtlsTransport._recv_next, "self._rx_srtp.unprotect(", "self._rx_srtp.unprotect_rtcp(")
    calls(RTCDtlsTransport._send_rtp, "self._tx_srtp.protect(", "self._tx_srtp.protect_rtcp(")
    assert State.FAILED


def test_the_receiver_gives_every_packet_to_its_jitter_buffer() -> None:
    calls(RTCRtpReceiver._handle_rtp_packet, "= self.__jitter_buffer.add(packet)", "is not None")
    calls(RTCRtpReceiver._RTCRtpReceiver__stop_decoder, "join()", "put(None)")


def test_the_connection_connects_in_one_replaceable_method() -> None:
    calls(RTCPeerConnection.setLocalDescription, "ensure_future(self.__connect())")
    calls(RTCPeerConnection.setRemoteDescription, "ensure_future(self.__connect())")


def test_ice_gathers_and_checks_in_replaceable_methods() -> None:
    calls(ice.Connection.gather_candidates, "self.get_component_candidates(")
    calls(ice.Connection.request_received, "self.check_incoming(message, addr, protocol)")
    calls(ice.Connection.check_start_task, "pair.task is None")
    calls(turn.TurnTransport.close, "self.__close_task = asyncio.create_task(")
    parameters = inspect.signature(ice.relayed_candidate).parameters
    assert {"component", "protocol_factory", "turn_server", "hide_related_address"} <= set(parameters)
    assert aioice.Connection(ice_controlling=True)._protocols == []


async def test_the_hooks_are_in_place(peer: Peer) -> None:
    assert peer._dtls._setup_srtp == peer._setup_srtp
    assert isinstance(peer._receiver._RTCRtpReceiver__jitter_buffer, Tap)
    assert peer._connection.sctp.transport is peer._dtls, "one transport carries everything"
    assert [profile.openssl_profile for profile in peer._dtls._srtp_profiles] == [b"SRTP_AEAD_AES_256_GCM"]


class Tls:
    """The DTLS connection after its handshake, as far as keying SRTP looks at it."""

    def __init__(self, profile: bytes) -> None:
        self.profile = profile
        self.exports: list[tuple[bytes, int, bytes | None]] = []

    def get_selected_srtp_profile(self) -> bytes:
        return self.profile

    def export_keying_material(self, label: bytes, length: int, context: bytes | None = None) -> bytes:
        self.exports.append((label, length, context))
        return bytes(length)


async def test_srtp_is_keyed_from_the_bound_exporter_and_nothing_else(peer: Peer) -> None:
    peer._dtls._ssl = tls = Tls(b"SRTP_AEAD_AES_256_GCM")
    peer._dtls._setup_srtp()
    assert tls.exports == [(b"EXPERIMENTAL-qcall-1", 48, b"th4")]
    assert isinstance(peer._dtls._tx_srtp, Carrier)
    assert peer._dtls._tx_srtp is peer._dtls._rx_srtp
    assert peer._dtls._tx_srtp._srtp is peer.srtp
    peer._dtls._ssl = None


@pytest.mark.parametrize("profile", [b"", b"SRTP_AES128_CM_SHA1_80", b"SRTP_AEAD_AES_128_GCM"])
async def test_a_weaker_profile_fails_the_connection(peer: Peer, profile: bytes) -> None:
    failures: list[str] = []
    peer.on_failed = lambda error: failures.append(error.code)
    peer._dtls._ssl = tls = Tls(profile)
    peer._dtls._setup_srtp()
    assert failures == ["bad-profile"]
    assert peer._dtls._tx_srtp is None
    assert tls.exports == []
    assert peer._dtls.state == "failed"
    peer._dtls._ssl = None


class Broken(NullSource, NullSink):
    """A microphone that cannot be read, and a loudspeaker that cannot be written to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def read(self, blocks: int = 1) -> Samples:
        raise self._error

    def write(self, block: Samples) -> None:
        raise self._error


async def test_every_device_is_closed_whatever_another_raises(peer: Peer) -> None:
    closed: list[str] = []

    class Stuck:
        """A device, or a recording, that cannot be closed."""

        def __init__(self, name: str) -> None:
            self.name = name
            self.spoken = self.heard = lambda sound: None

        def close(self) -> None:
            closed.append(self.name)
            raise OSError(self.name)

    handset: Any = peer.handset
    handset.record(Stuck("recording"))
    handset.change_source(Stuck("microphone"))
    handset.change_sink(Stuck("loudspeaker"))
    with pytest.raises(OSError, match="loudspeaker"):
        handset.close()
    assert closed == ["recording", "microphone", "loudspeaker"]
    peer._mouth.source, peer._ear.sink = NullSource(), NullSink()


FAULTS = [
    (DeviceError("cannot write the file; choose another", code="full"), "full", "choose another"),
    (OpusError("an encoder that refuses"), "fault", "please report it"),
    (ZeroDivisionError("a fault"), "fault", "please report it"),
]


@pytest.mark.parametrize(("error", "code", "words"), FAULTS)
@pytest.mark.parametrize("direction", ["spoken", "heard"])
async def test_sound_that_fails_in_one_direction_fails_the_call_once_and_tells_why(
    peer: Peer, error: Exception, code: str, words: str, direction: str, caplog: pytest.LogCaptureFixture
) -> None:
    failed: asyncio.Queue[QcallError] = asyncio.Queue()
    peer.on_failed = failed.put_nowait
    if direction == "spoken":
        peer.handset.change_source(Broken(error))
        peer.start_sending()
        with pytest.raises(MediaStreamError):
            await peer._mouth.recv()
    else:
        peer.handset.change_sink(Broken(error))
        peer.start_playing()
    told = await asyncio.wait_for(failed.get(), 5)
    assert told.code == code
    assert words in str(told)
    assert failed.empty()
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(faults) == (code == "fault"), "what is no user's doing is logged, with where it happened"


async def test_a_fault_in_what_takes_packets_in_is_ours_and_no_goodbye_of_the_far_phone(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    told: list[str] = []
    peer.on_failed = lambda error: told.append(error.code)
    monkeypatch.setattr(peer._inbound, "packet", fail)
    monkeypatch.setattr(peer._inbound, "copy", fail)
    for number in range(3):
        peer._receiver._RTCRtpReceiver__jitter_buffer.add(RtpPacket(sequence_number=number))
        peer._on_copy(0, b"")
    assert told == ["fault"]
    assert len(caplog.records) == 1
