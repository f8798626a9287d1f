"""Real sound devices without hardware: a PulseAudio server of our own, reached through PortAudio and ALSA.

Each phone has a virtual microphone (the monitor of a null sink that speech is played into) and a virtual
loudspeaker (a null sink whose monitor is recorded). Runs as root and without D-Bus.
"""

from __future__ import annotations

import asyncio
import threading
import time
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyaudio", reason="PyAudio is not installed")

from qcall.errors import DeviceError
from qcall.media.opus import SAMPLE_RATE, Samples
from qcall.media.playout import SILENCE
from qcall.media.portaudio import Card, cards, settle
from qcall.media.quality import level, locate
from qcall.media.soundcard import SEARCH, Microphone, Speaker
from scripts.benchmarks.calls import read_wav, write_wav
from scripts.demonstration.soundserver import SoundServer, is_available
from scripts.demonstration.stage import Stage
from tests.e2e.real_time import REAL_TIME, best_likeness
from tests.e2e.test_remote_control import control

pytestmark = pytest.mark.skipif(
    not is_available(),
    reason="PulseAudio is not installed (apt-get install pulseaudio libasound2-plugins)",
)
SPEECH = Path(__file__).parents[1] / "data/speech"


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SoundServer]:
    """A server with mouths and ears, which ALSA knows by these names."""
    names = ["mouth", "ear", "mouth-of-alice", "ear-of-alice", "mouth-of-bob", "ear-of-bob"]
    started = await SoundServer.start(tmp_path, names)
    alsa = started.alsa_configuration(tmp_path, microphones=names[0::2], speakers=names[1::2])
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(alsa))
    yield started
    await asyncio.to_thread(settle)
    await started.stop()


def speech(name: str) -> Samples:
    with wave.open(str(SPEECH / f"{name}_harvard_phrases.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


async def test_devices_are_listed_by_name(server: SoundServer) -> None:
    listed = {card.name: card for card in cards()}
    assert listed["mouth"].microphone
    assert listed["ear"].loudspeaker


async def test_a_device_that_does_not_exist_is_named(server: SoundServer) -> None:
    with pytest.raises(DeviceError, match="no microphone called theremin"):
        await Microphone.open("theremin")


@REAL_TIME
async def test_two_phones_talk_through_their_sound_cards(server: SoundServer, phones: Stage) -> None:
    cards = {
        name: ("--microphone", f"mouth-of-{name}", "--speaker", f"ear-of-{name}", "--processing", "off")
        for name in ("alice", "bob")
    }
    bob = await phones.listen("bob", "--auto-answer", "--once", *cards["bob"])
    alice = await phones.call("alice", "bob", "--duration", "9", "--ring-tones", "off", *cards["alice"])
    await asyncio.gather(alice.event("media"), bob.event("media"))
    recordings = [asyncio.create_task(server.record(f"ear-of-{name}", 6.5)) for name in ("alice", "bob")]
    said = {"bob": speech("F1")[:120_000], "alice": speech("M1")[:120_000]}
    players = [
        await server.play("mouth-of-alice", said["bob"]),
        await server.play("mouth-of-bob", said["alice"]),
    ]
    heard = dict(zip(("alice", "bob"), await asyncio.gather(*recordings), strict=True))
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    await asyncio.gather(*(player.wait() for player in players))
    for name, sound in heard.items():
        parts = [said[name][at : at + 12_000] for at in range(24_000, 96_000, 12_000)]
        assert np.median([locate(part, sound).peak for part in parts]) > 0.9


@REAL_TIME
async def test_a_loudspeaker_that_the_microphone_hears_gives_the_far_user_no_echo(
    server: SoundServer, phones: Stage, tmp_path: Path
) -> None:
    pytest.importorskip("livekit", reason="livekit is not installed")
    said = write_wav(tmp_path / "said.wav", speech("F1"))
    heard = tmp_path / "heard.wav"
    await server.echo("ear-of-bob", "mouth-of-bob")
    devices = ("--microphone", "mouth-of-bob", "--speaker", "ear-of-bob", "--processing", "on")
    bob = await phones.listen("bob", "--auto-answer", "--once", "--ring-tones", "off", *devices)
    alice = await phones.call("alice", "bob", "--duration", "9.6", "--input", said, "--output", heard)
    await asyncio.gather(alice.event("media"), bob.event("media"))
    microphone = await server.record("mouth-of-bob", 5.2)
    player = await server.play("mouth-of-bob", speech("M1"))
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    await player.wait()
    assert best_likeness(speech("F1"), microphone) > 0.95, "it hears what alice says"
    back = read_wav(heard)
    settled = back[3 * SAMPLE_RATE : 5 * SAMPLE_RATE]
    assert level(settled) < level(microphone[3 * SAMPLE_RATE : 5 * SAMPLE_RATE]) - 30
    assert best_likeness(speech("M1"), back) > 0.7, "alice hears what bob says"


async def unplug(device: Microphone | Speaker) -> None:
    """Let the callbacks cease."""
    card = device._card
    assert card is not None
    await asyncio.to_thread(card._stream.stop_stream)


async def use(microphone: Microphone, speaker: Speaker, until: Callable[[], bool]) -> Samples:
    """Read from one and feed the other, as a call does, and return what was heard."""
    heard = [SILENCE]

    async def listen() -> None:
        while True:
            heard.append(await microphone.read())

    listening = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(20):
            while not until():
                await speaker.wanted()
                speaker.write(SILENCE)
    finally:
        listening.cancel()
    return np.concatenate(heard)


def in_seconds(seconds: float) -> Callable[[], bool]:
    """Whether so much time has passed since."""
    due = time.monotonic() + seconds
    return lambda: time.monotonic() > due


async def test_a_sound_server_that_restarts_is_survived_and_told(
    server: SoundServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notices: list[str] = []
    microphone, speaker = (
        await Microphone.open("mouth", notices.append),
        await Speaker.open("ear", notices.append),
    )
    again = None
    try:
        await use(microphone, speaker, in_seconds(3.0))
        await server.stop()
        await use(microphone, speaker, lambda: len(notices) == 2)
        assert {notice.split(" is gone")[0] for notice in notices} == {"the loudspeaker", "the microphone"}
        heard = await use(microphone, speaker, in_seconds(2 * SEARCH))
        assert len(heard) > len(SILENCE)
        assert not heard.any()
        assert len(notices) == 2
        again = await SoundServer.start(tmp_path, ["mouth", "ear"])
        await use(microphone, speaker, lambda: len(notices) == 4)
        assert set(notices[2:]) == {"the loudspeaker is back", "the microphone is back"}
        player = await again.play("mouth", speech("F1")[:96_000])
        heard = await use(microphone, speaker, lambda: player.returncode is not None)
        assert best_likeness(speech("F1")[24_000:96_000], heard) > 0.9
        assert capfd.readouterr() == ("", ""), "the terminal interface is drawn there"
    finally:
        microphone.close()
        speaker.close()
        if again is not None:
            await again.stop()


async def recordings(server: SoundServer, kind: str = "source-outputs") -> list[str]:
    """Who listens to the server's microphones, or plays into its loudspeakers."""
    command = ["pactl", f"--server={server.socket}", "list", "short", kind]
    asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    listed, _ = await asked.communicate()
    return listed.decode().splitlines()


async def test_a_call_on_hold_leaves_the_sound_cards_to_others_and_takes_them_again(
    server: SoundServer, phones: Stage, spoken: Path
) -> None:
    async def in_use(streams: int) -> None:
        async with asyncio.timeout(10):
            for kind in ("source-outputs", "sink-inputs"):
                while len(await recordings(server, kind)) != streams:
                    pass

    cards = ("--microphone", "mouth-of-bob", "--speaker", "ear-of-bob", "--processing", "off")
    bob = await phones.listen("bob", "--auto-answer", "--once", *cards)
    alice = await phones.call("alice", "bob", "--input", spoken, "--output", "null")
    await bob.event("media")
    await in_use(1)
    assert await control(phones, "bob", "hold") == {"held": True}
    await in_use(0)
    assert await control(phones, "bob", "hold", "off") == {"held": False}
    await in_use(1)
    await control(phones, "bob", "hangup")
    await asyncio.gather(alice.ended(), bob.ended())
    await in_use(0)


async def test_a_microphone_that_comes_back_after_the_call_is_given_back(
    server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    microphone = await Microphone.open("mouth")
    assert len(await recordings(server)) == 1
    for _ in range(50):
        await microphone.read()
    opened, call_is_over = asyncio.Event(), threading.Event()
    loop, open = asyncio.get_running_loop(), Card._start

    def open_late(card: Card, *args: Any, **options: Any) -> None:
        open(card, *args, **options)
        loop.call_soon_threadsafe(opened.set)
        call_is_over.wait(10)

    monkeypatch.setattr(Card, "_start", open_late)
    await unplug(microphone)
    async with asyncio.timeout(10):
        while not opened.is_set():
            await microphone.read()
    assert len(await recordings(server)) == 1
    microphone.close()
    await asyncio.sleep(0)  # the search is cancelled here
    call_is_over.set()
    for _ in range(2):  # once behind the opening, which then asks for the closing, and once behind that
        await asyncio.to_thread(cards)
    assert await recordings(server) == []


async def test_a_device_that_stays_away_is_replaced_by_the_default_one(
    server: SoundServer, tmp_path: Path
) -> None:
    notices: list[str] = []
    microphone = await Microphone.open("mouth-of-bob", notices.append)
    try:
        for _ in range(50):
            await microphone.read()
        server.alsa_configuration(tmp_path, microphones=["mouth"], speakers=[])
        await unplug(microphone)
        async with asyncio.timeout(10):
            while len(notices) < 2:
                await microphone.read()
        assert notices[1] == "the microphone is now default"
    finally:
        microphone.close()


async def test_the_program_runs_on_while_a_device_is_opened(
    server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, ran_on = asyncio.Event(), threading.Event()
    loop, start = asyncio.get_running_loop(), Card._start

    def start_late(card: Card, *args: Any, **options: Any) -> None:
        loop.call_soon_threadsafe(opening.set)
        assert ran_on.wait(10)
        start(card, *args, **options)

    monkeypatch.setattr(Card, "_start", start_late)
    opened = asyncio.create_task(Microphone.open("mouth"))
    await opening.wait()
    ran_on.set()
    (await opened).close()


async def test_a_device_that_is_plugged_in_during_a_call_is_found(
    server: SoundServer, tmp_path: Path
) -> None:
    notices: list[str] = []
    server.alsa_configuration(tmp_path, microphones=["mouth"], speakers=["ear"])
    microphone, speaker = (
        await Microphone.open("mouth", notices.append),
        await Speaker.open("ear", notices.append),
    )
    headset: Microphone | None = None
    try:
        await use(microphone, speaker, in_seconds(1.0))
        server.alsa_configuration(tmp_path, microphones=["mouth", "mouth-of-bob"], speakers=["ear"])
        assert "mouth-of-bob" in {card.name for card in await asyncio.to_thread(cards)}
        headset = await Microphone.open("mouth-of-bob", notices.append)
        assert headset.name == "mouth-of-bob"
        assert (microphone.name, speaker.name) == ("mouth", "ear")
        player = await server.play("mouth-of-bob", speech("F1")[:96_000])
        heard = await use(headset, speaker, lambda: player.returncode is not None)
        assert best_likeness(speech("F1")[24_000:96_000], heard) > 0.9
        assert notices == []
    finally:
        for device in (microphone, speaker, headset):
            if device is not None:
                device.close()


async def test_a_device_that_does_not_exist_disturbs_no_stream(server: SoundServer) -> None:
    starts: list[str] = []

    class Watched(Speaker):
        def _on_start(self) -> None:
            starts.append(self.kind)
            super()._on_start()

    speaker = await Watched.open("ear")
    try:
        with pytest.raises(DeviceError, match="no microphone called theremin"):
            await Microphone.open("theremin")
    finally:
        speaker.close()
    assert starts == ["loudspeaker"]
