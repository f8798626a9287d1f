"""A PulseAudio server of one's own, with a null sink for each name: real sound devices without hardware.

Runs as root and without D-Bus. Phones reach it through PortAudio and ALSA under the names of the sinks: what
is played into the sink ``mouth`` is what its microphone hears, what comes out of ``ear`` is recorded there.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import numpy as np

from qcall.media.opus import SAMPLE_RATE, Samples

RATE = ("--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20")


class SoundServer:
    """A PulseAudio server with a null sink for each name."""

    def __init__(self, socket: Path, process: asyncio.subprocess.Process) -> None:
        self.socket = socket
        self.process = process

    @classmethod
    async def start(cls, directory: Path, names: list[str]) -> SoundServer:
        """Start it with its files in ``directory``; end it by ``stop``."""
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

    def alsa_configuration(self, directory: Path, *, microphones: list[str], speakers: list[str]) -> Path:
        """A file for ALSA_CONFIG_PATH in which the sinks are devices; the first of each is the default."""
        lines = ["</usr/share/alsa/alsa.conf>"]
        lines += [self._device(name, f"{name}.monitor") for name in microphones]
        lines += [self._device(name, name) for name in speakers]
        if microphones:
            lines.append(self._device("!default", f"{microphones[0]}.monitor"))
        file = directory / "asound.conf"
        file.write_text("\n".join(lines) + "\n")
        return file

    def _device(self, name: str, device: str) -> str:
        return f"pcm.{name} {{ type pulse server unix:{self.socket} device {device} }}"

    async def stop(self) -> None:
        """End it."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()

    async def echo(self, speaker: str, microphone: str) -> None:
        """From now on ``microphone`` hears what comes out of ``speaker``, about 30 ms later."""
        asked = await asyncio.create_subprocess_exec(
            "pactl", f"--server={self.socket}", "load-module", "module-loopback",
            f"source={speaker}.monitor", f"sink={microphone}", "latency_msec=30",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await asked.wait():
            raise RuntimeError("PulseAudio connects no loudspeaker to a microphone (module-loopback)")

    async def play(self, sink: str, sound: Samples) -> asyncio.subprocess.Process:
        """Play ``sound`` into ``sink``; the player ends by itself."""
        player = await asyncio.create_subprocess_exec(
            "pacat", "--playback", f"--server={self.socket}", f"--device={sink}", *RATE,
            stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert player.stdin is not None
        player.stdin.write(sound.tobytes())
        player.stdin.close()
        return player

    async def record(self, sink: str, seconds: float) -> Samples:
        """What comes out of ``sink`` from now on."""
        sound, _ = await self.record_timed(sink, seconds)
        return sound

    async def record_timed(self, sink: str, seconds: float) -> tuple[Samples, float]:
        """The same, and when its first sample sounded, on the monotonic clock.

        The fastest piece tells: what is late by the server's own latency is so for all sinks alike.
        """
        recorder = await asyncio.create_subprocess_exec(
            "pacat", "--record", f"--server={self.socket}", f"--device={sink}.monitor", *RATE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert recorder.stdout is not None
        data, began = bytearray(), float("inf")
        try:
            async with asyncio.timeout(seconds + 10):
                while len(data) < round(2 * SAMPLE_RATE * seconds):
                    piece = await recorder.stdout.read(1 << 16)
                    data += piece
                    began = min(began, time.monotonic() - len(data) / (2 * SAMPLE_RATE))
            return np.frombuffer(bytes(data[: len(data) // 2 * 2]), np.int16), began
        finally:
            recorder.kill()
            await recorder.wait()


def is_available() -> bool:
    """Whether PulseAudio and ALSA's way to it are installed."""
    return shutil.which("pulseaudio") is not None and Path("/usr/share/alsa/alsa.conf.d").is_dir()
