"""Real sound devices without hardware: a PulseAudio server of our own, reached through PortAudio and ALSA.

Each phone has a virtual microphone (the monitor of a null sink that speech is played into) and a virtual
loudspeaker (a null sink whose monitor is recorded). Runs as root and without D-Bus.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyaudio", reason="PyAudio is not installed")

from qcall.errors import DeviceError
from qcall.media.opus import Samples
from qcall.media.quality import locate
from qcall.media.soundcard import Card, Microphone, Speaker, cards
from scripts.demonstration.soundserver import SoundServer, is_available
from tests.e2e.exchange import connect, exchange, happens, talk

pytestmark = pytest.mark.skipif(
    not is_available(),
    reason="PulseAudio is not installed (apt-get install pulseaudio libasound2-plugins)",
)
SPEECH = Path(__file__).parents[1] / "data/speech/F1_harvard_phrases.wav"


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SoundServer]:
    """A server with one mouth and one ear, which ALSA knows by these names."""
    started = await SoundServer.start(tmp_path, ["mouth", "ear"])
    alsa = started.alsa_configuration(tmp_path, microphones=["mouth"], speakers=["ear"])
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(alsa))
    yield started
    await started.stop()


def speech() -> Samples:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


async def test_devices_are_listed_by_name(server: SoundServer) -> None:
    listed = {card.name: card for card in cards()}
    assert listed["mouth"].microphone
    assert listed["ear"].loudspeaker


async def test_a_device_that_does_not_exist_is_named(server: SoundServer) -> None:
    with pytest.raises(DeviceError, match="no microphone called theremin"):
        Microphone("theremin")


async def test_a_call_from_a_microphone_to_a_loudspeaker(server: SoundServer) -> None:
    spoken = speech()[:120_000]
    async with exchange() as made:
        recording = asyncio.create_task(server.record("ear", 6.0))
        caller = made.phone("caller", source=Microphone("mouth"))
        callee = made.phone("callee", sink=Speaker("ear"))
        await connect(caller, callee)
        await happens(caller.open, callee.open)
        talk(caller, callee)
        await happens(callee.heard)
        player = await server.play("mouth", spoken)
        heard = await recording
        await player.wait()
    parts = [spoken[at : at + 24_000] for at in range(24_000, 96_000, 24_000)]
    assert np.median([locate(part, heard).peak for part in parts]) > 0.9


async def test_a_device_that_stays_away_is_replaced_by_the_default_one(
    server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []
    microphone = Microphone("mouth", notices.append)
    try:
        for _ in range(50):
            await microphone.read()
        find = Card._find

        def only_ear(card: Card, name: str, kind: str, *, input: bool) -> int:
            if name == "mouth":
                raise DeviceError("it was unplugged")
            return find(card, name, kind, input=input)

        monkeypatch.setattr(Card, "_find", only_ear)
        assert microphone._card is not None
        microphone._card._stream.stop_stream()
        async with asyncio.timeout(10):
            while len(notices) < 2:
                await microphone.read()
        assert "is gone" in notices[0]
        assert "is now" in notices[1]
        assert microphone.name != "mouth"
    finally:
        microphone.close()


async def test_devices_that_vanish_are_survived_and_told(server: SoundServer) -> None:
    notices: list[str] = []
    microphone, speaker = Microphone("mouth", notices.append), Speaker("ear", notices.append)
    try:
        for _ in range(50):
            await microphone.read()
        for _ in range(50):
            await speaker.wanted()
            speaker.write(np.zeros(480, np.int16))
        await server.stop()
        async with asyncio.timeout(10):
            while len(notices) < 2:
                await microphone.read()
                await speaker.wanted()
                speaker.write(np.zeros(480, np.int16))
        blocks = [await microphone.read() for _ in range(5)]
    finally:
        microphone.close()
        speaker.close()
    assert sorted(notice.split(" is gone")[0] for notice in notices) == ["the loudspeaker", "the microphone"]
    assert not np.concatenate(blocks).any()
