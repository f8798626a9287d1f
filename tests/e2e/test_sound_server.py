"""Real sound devices without hardware: a PulseAudio server of our own, reached through PortAudio and ALSA.

Each phone has a virtual microphone (the monitor of a null sink that speech is played into) and a virtual
loudspeaker (a null sink whose monitor is recorded). Runs as root and without D-Bus.
"""

from __future__ import annotations

import asyncio
import shutil
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
from tests.e2e.exchange import connect, exchange, happens, talk

pytestmark = pytest.mark.skipif(
    not shutil.which("pulseaudio") or not Path("/usr/share/alsa/alsa.conf.d").is_dir(),
    reason="PulseAudio is not installed (apt-get install pulseaudio libasound2-plugins)",
)
SPEECH = Path(__file__).parents[1] / "data/speech/F1_harvard_phrases.wav"
RATE = ("--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20")


class SoundServer:
    """A PulseAudio server with a null sink for each name."""

    def __init__(self, socket: Path, process: asyncio.subprocess.Process) -> None:
        self.socket = socket
        self.process = process

    @classmethod
    async def start(cls, directory: Path, names: list[str]) -> SoundServer:
        socket = directory / "native.socket"
        modules = [f"module-null-sink sink_name={name} rate=48000 channels=1" for name in names]
        modules.append(f"module-native-protocol-unix socket={socket} auth-anonymous=1")
        options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-level=error"]
        process = await asyncio.create_subprocess_exec(
            "pulseaudio",
            *options,
            *(f"--load={module}" for module in modules),
            env={"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory), "PATH": "/usr/bin:/bin"},
            stderr=asyncio.subprocess.DEVNULL,
        )
        server = cls(socket, process)
        async with asyncio.timeout(10):
            while not socket.is_socket():
                await asyncio.sleep(0.02)
        return server

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()

    async def play(self, sink: str, sound: Samples) -> asyncio.subprocess.Process:
        player = await asyncio.create_subprocess_exec(
            "pacat", "--playback", f"--server={self.socket}", f"--device={sink}", *RATE,
            stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert player.stdin is not None
        player.stdin.write(sound.tobytes())
        player.stdin.close()
        return player

    async def record(self, sink: str, seconds: float) -> Samples:
        recorder = await asyncio.create_subprocess_exec(
            "pacat", "--record", f"--server={self.socket}", f"--device={sink}.monitor", *RATE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert recorder.stdout is not None
        try:
            async with asyncio.timeout(seconds + 10):
                return np.frombuffer(await recorder.stdout.readexactly(round(96_000 * seconds)), np.int16)
        finally:
            recorder.kill()
            await recorder.wait()


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SoundServer]:
    """A server with one mouth and one ear, which ALSA knows by these names."""
    started = await SoundServer.start(tmp_path, ["mouth", "ear"])
    alsa = tmp_path / "asound.conf"
    alsa.write_text(
        "</usr/share/alsa/alsa.conf>\n"
        f"pcm.mouth {{ type pulse server unix:{started.socket} device mouth.monitor }}\n"
        f"pcm.ear {{ type pulse server unix:{started.socket} device ear }}\n"
        f"pcm.!default {{ type pulse server unix:{started.socket} device mouth.monitor }}\n"
    )
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
