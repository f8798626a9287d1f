"""Two media peers over our own TURN server: what is heard, by whom, how soon, and what is left behind."""

from __future__ import annotations

import asyncio
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcall.crypto.secret import Secret
from qcall.errors import PeerFault, Unavailable, UsageError
from qcall.media.devices import NullSink, NullSource, ToneSource, WavSink, WavSource
from qcall.media.opus import Samples
from qcall.media.peer import Peer, Relay
from qcall.media.playout import BLOCK
from qcall.media.quality import chirp_delays, chirps
from qcall.media.srtp import SrtpKeyPair
from qcall.media.tones import RINGING, Tones
from relay.turn.udp import WireEvent
from tests.e2e.exchange import LIMIT, connect, exchange, happens, talk, until
from tests.e2e.real_time import REAL_TIME, best_likeness

SPEECH = Path(__file__).parents[1] / "data/speech"


def samples(file: Path) -> Samples:
    with wave.open(str(file)) as opened:
        return np.frombuffer(opened.readframes(10**9), np.int16)


# 12 bytes of RTP header, 80 of Opus, 16 of tag; with a copy of the last frame, until the path is known to be
# clean. ChannelData over UDP is not padded.
PLAIN, DOUBLED = 12 + 80 + 16, 12 + 5 + 80 + 80 + 16


def voice_in(event: WireEvent) -> list[bytes]:
    """The SRTP packet that a phone sends in ChannelData (RFC 8656, section 12.4), if it is one."""
    data = event.data[4:] if event.direction == "in" and event.data[:1] == b"\x40" else b""
    return [data] if data[:1] >= b"\x80" and not 192 <= data[1] <= 223 else []


class Chirps(NullSource):
    """A microphone that hears chirps."""

    def __init__(self) -> None:
        super().__init__()
        self.sound = chirps(10 * 48_000)
        self._blocks = (self.sound[at : at + BLOCK] for at in range(0, len(self.sound), BLOCK))


class Ear(NullSink):
    """A loudspeaker that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Samples] = []

    def write(self, block: Samples) -> None:
        self.blocks.append(block)


@REAL_TIME
async def test_speech_arrives_in_both_directions(tmp_path: Path) -> None:
    clips = {name: SPEECH / f"{name}_harvard_phrases.wav" for name in ("F1", "M1")}
    async with exchange() as made:
        caller = made.phone("caller", source=WavSource(clips["F1"]), sink=WavSink(tmp_path / "at_caller.wav"))
        callee = made.phone("callee", source=WavSource(clips["M1"]), sink=WavSink(tmp_path / "at_callee.wav"))
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: caller.peer.stats()["packetsSent"] >= 150)
    for clip, heard in (("F1", "at_callee"), ("M1", "at_caller")):
        spoken, recorded = samples(clips[clip]), samples(tmp_path / f"{heard}.wav")
        assert best_likeness(spoken[24_000:120_000], recorded) > 0.9


@REAL_TIME
@pytest.mark.parametrize(("frame_ms", "limit"), [(20, 0.050), (10, 0.035)])
async def test_mouth_to_ear_is_short(frame_ms: int, limit: float) -> None:
    async with exchange() as made:
        mouth, ear = Chirps(), Ear()
        caller = made.phone("caller", source=mouth, frame_ms=frame_ms)
        callee = made.phone("callee", sink=ear, frame_ms=frame_ms)
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: len(ear.blocks) >= 300)
        path = made.routes.between("beijing", "hefei")
        assert mouth.started is not None
        assert ear.started is not None
        delays = chirp_delays(np.concatenate(ear.blocks), ear.started - mouth.started)
    assert len(delays) >= 4
    assert path is not None
    # The least: a busy machine adds to most. The figures are those of scripts/bench latency.
    assert float(delays.min()) < limit + path.propagation


async def test_a_call_is_set_up_and_heard_at_once() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        start = time.monotonic()
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        opened = time.monotonic()
        talk(caller, callee)
        await happens(caller.heard, callee.heard)
        heard = time.monotonic()
    assert opened - start < 0.5, "the control channel opens within four round trips and the handshakes' work"
    assert heard - opened < 0.15


async def test_the_control_channel_carries_messages_both_ways() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        with pytest.raises(Unavailable):
            caller.peer.send_control(b"too early")
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        for number in range(20):
            caller.peer.send_control(b"%d" % number)
        callee.peer.send_control(bytes(10_000))
        async with asyncio.timeout(LIMIT):
            assert [await callee.messages.get() for _ in range(20)] == [b"%d" % n for n in range(20)]
            assert await caller.messages.get() == bytes(10_000)


async def test_the_last_message_arrives_before_the_connection_is_closed() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        caller.peer.send_control(b"goodbye")
        await caller.peer.flush_control(LIMIT)
        await caller.peer.close()
        assert callee.messages.get_nowait() == b"goodbye"


async def test_a_peer_with_a_wrong_key_hears_nothing() -> None:
    async with exchange() as made:
        ear = Ear()
        caller, callee = made.phone("caller", source=Chirps()), made.phone("callee", secret="wrong", sink=ear)
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: callee.peer.stats()["srtpAuthenticationFailures"] >= 50)
        assert callee.peer.stats()["jitterBufferEmittedCount"] == 0
        assert not callee.heard.is_set()
        assert not np.concatenate(ear.blocks).any()


async def test_nothing_is_sent_or_played_before_it_is_allowed() -> None:
    async with exchange() as made:
        ear = Ear()
        caller, callee = made.phone("caller", source=Chirps()), made.phone("callee", sink=ear)
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        callee.peer.start_sending()
        await until(lambda: callee.peer.stats()["packetsSent"] >= 10)
        assert caller.peer.stats()["packetsSent"] == 0
        assert caller.peer.stats()["jitterBufferEmittedCount"] == 0
        assert ear.blocks == []


async def test_packets_on_the_wire_have_one_size_and_no_extension() -> None:
    voice: list[bytes] = []
    async with exchange(wiretap=lambda event: voice.extend(voice_in(event))) as made:
        caller = made.phone("caller", source=WavSource(SPEECH / "F1_harvard_phrases.wav"))
        callee = made.phone("callee", source=WavSource(SPEECH / "M1_harvard_phrases.wav"))
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: len(voice) >= 150)
    assert {len(packet) for packet in voice} <= {PLAIN, DOUBLED}
    assert {packet[0] for packet in voice} == {0x80}, "version 2, no padding, no extension, no CSRC"


async def test_mute_sends_silence_that_looks_like_speech() -> None:
    sizes: list[int] = []
    async with exchange(wiretap=lambda event: sizes.extend(map(len, voice_in(event)))) as made:
        ear = Ear()
        caller, callee = made.phone("caller", source=ToneSource()), made.phone("callee", sink=ear)
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: callee.peer.handset.levels[1] > -30)
        caller.peer.handset.muted = True
        sizes.clear()
        await until(lambda: callee.peer.handset.levels[1] < -80)
        await until(lambda: len(sizes) > 100)
        assert caller.peer.handset.levels[0] > -30, "the meter shows what the microphone hears"
        caller.peer.handset.muted = False
        await until(lambda: callee.peer.handset.levels[1] > -30)
    assert set(sizes) <= {PLAIN, DOUBLED}


async def test_a_call_on_hold_is_silent_both_ways() -> None:
    async with exchange() as made:
        caller = made.phone("caller", source=ToneSource())
        callee = made.phone("callee", source=ToneSource(1_000.0))
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: caller.peer.handset.levels[1] > -30 and callee.peer.handset.levels[1] > -30)
        caller.peer.handset.held = True
        await until(lambda: caller.peer.handset.levels[1] < -80 and callee.peer.handset.levels[1] < -80)
        sent = caller.peer.stats()["packetsSent"]
        await until(lambda: caller.peer.stats()["packetsSent"] > sent + 20)
        caller.peer.handset.held = False
        await until(lambda: caller.peer.handset.levels[1] > -30 and callee.peer.handset.levels[1] > -30)


async def test_tones_are_heard_before_anybody_speaks_and_end_with_the_talk() -> None:
    async with exchange() as made:
        ear = Ear()
        callee = made.phone("callee", sink=ear, tones=Tones())
        caller = made.phone("caller")
        await connect(caller, callee)
        callee.peer.handset.play(RINGING)
        await until(lambda: any(block.any() for block in ear.blocks))
        callee.peer.handset.play(None)
        talk(caller, callee)
        await happens(callee.heard)
        ear.blocks.clear()
        await until(lambda: len(ear.blocks) > 50)
        assert np.abs(np.concatenate(ear.blocks)).max() <= 1, "the codec's own silence, and no tone"


async def test_devices_are_changed_during_a_call() -> None:
    async with exchange() as made:
        first, second = Ear(), Ear()
        caller, callee = made.phone("caller"), made.phone("callee", sink=first)
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await until(lambda: len(first.blocks) > 20)
        caller.peer.handset.change_source(ToneSource())
        callee.peer.handset.change_sink(second)
        await until(lambda: callee.peer.handset.levels[1] > -30)
        before = len(first.blocks)
        await until(lambda: len(second.blocks) > 20)
        assert len(first.blocks) == before


async def test_digits_arrive_in_order() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        pressed: list[str] = []
        callee.peer.on_digit = pressed.append
        with pytest.raises(Unavailable):
            caller.peer.send_digits("1")
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        caller.peer.send_digits("12#")
        with pytest.raises(UsageError):
            caller.peer.send_digits("hello")
        await until(lambda: pressed == ["1", "2", "#"])


async def test_a_wrong_password_is_named() -> None:
    async with exchange() as made:
        caller = made.phone("caller", password="wrong")
        with pytest.raises(Unavailable, match="media server"):
            await caller.peer.offer()


async def test_a_peer_that_leaves_is_noticed_at_once() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        await caller.peer.close()
        await happens(callee.failed)
        assert [error.code for error in callee.errors] == ["media-closed"]
        assert caller.errors == []


async def test_a_refusal_by_the_agreement_ends_the_connection() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")

        def refuse(_: bytes) -> SrtpKeyPair:
            raise PeerFault("no keys for this one", code="no-keys")

        callee.peer._exporter = refuse
        await connect(caller, callee)
        await happens(callee.failed)
        assert callee.errors[0].code == "no-keys"
        assert not callee.open.is_set()


@pytest.mark.parametrize("patience", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16])
async def test_a_call_can_be_ended_at_any_moment(patience: float) -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        setup = asyncio.create_task(connect(caller, callee))
        await asyncio.wait({setup}, timeout=patience)
        before = time.monotonic()
        setup.cancel()
        await asyncio.gather(caller.peer.close(), callee.peer.close(), setup, return_exceptions=True)
        await caller.peer.close()
        assert time.monotonic() - before < 1.0
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_closing_does_not_wait_for_a_relay_that_is_gone() -> None:
    async with exchange() as made:
        caller, callee = made.phone("caller"), made.phone("callee")
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        await made.close()
        before = time.monotonic()
        await asyncio.gather(caller.peer.close(), callee.peer.close())
        assert time.monotonic() - before < 2.5
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_offer_that_is_being_made_ends_with_the_call() -> None:
    deaf = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    address: Any = deaf[0].get_extra_info("sockname")
    peer = Peer(
        turn=Relay(address[0], address[1], "user", "password"),
        exporter=lambda _: SrtpKeyPair(Secret(bytes(44)), Secret(bytes(44))),
        exporter_context=lambda: b"",
        source=NullSource(),
        sink=NullSink(),
    )
    offer = asyncio.create_task(peer.offer())
    await asyncio.wait({offer}, timeout=0.05)
    await peer.close()
    with pytest.raises(Unavailable):
        await offer
    deaf[0].close()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
