"""The peer that benchmarks compare with: a call over aiortc's own audio path, as its examples use it.

Two ``RTCPeerConnection`` with an audio track each, over loopback. Every voice packet is lost or delayed as
the packet with the same number was in a call of the product. Decoded frames wait in a queue, as they do in
``MediaPlayer`` and in any program that awaits ``track.recv()``, until a loudspeaker takes 10 ms every 10 ms;
where nothing waits it plays silence.

    python -m scripts.benchmarks.stock CALL.json      {"alice": {"speech", "heard", "fates"}, …, "seconds"}
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import sys
import time
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import is_rtcp

from qcall.media.devices import NullSink, WavSink, WavSource
from qcall.media.opus import SAMPLE_RATE, Samples
from qcall.media.playout import BLOCK, SILENCE
from scripts.benchmarks.calls import CALLEE, CALLER, OTHER, Fates, payload_bytes

FRAME = 2 * BLOCK


class Speech(MediaStreamTrack):
    """20 ms frames of a file, paced like a microphone."""

    kind = "audio"

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = WavSource(file)
        self._position = 0

    async def recv(self) -> av.AudioFrame:
        sound = await self.source.read(2)
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._position
        frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
        self._position += FRAME
        return frame


class Loudspeaker:
    """Plays what has been decoded, at its own pace."""

    def __init__(self, sink: NullSink) -> None:
        self.sink = sink
        self._waiting: deque[Samples] = deque()

    async def take(self, track: MediaStreamTrack) -> None:
        """Collect frames for as long as there are any."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                stereo = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
                sound = stereo.mean(axis=1).astype(np.int16)
                self._waiting.extend(sound[at : at + BLOCK] for at in range(0, len(sound), BLOCK))

    async def play(self) -> None:
        """Play, for ever."""
        while True:
            await self.sink.wanted()
            self.sink.write(self._waiting.popleft() if self._waiting else SILENCE)


class VoicePath:
    """Loses and delays the voice packets of one transport."""

    def __init__(self, fates: Fates) -> None:
        self._fates = fates
        self._first: int | None = None
        self._sent: list[tuple[float, int]] = []
        self._floor = min((fate for fate in fates if fate is not None), default=0.0)

    def fate(self, packet: bytes) -> float | None:
        """Seconds that ``packet`` takes, or ``None`` when it is lost."""
        if is_rtcp(packet):
            return self._floor
        self._sent.append((time.monotonic(), payload_bytes(packet)))
        sequence = int.from_bytes(packet[2:4], "big")
        if self._first is None:
            self._first = sequence
        number = (sequence - self._first) & 0xFFFF
        return self._fates[number] if number < len(self._fates) else self._floor

    @property
    def rate(self) -> float:
        """Bytes a second of RTP payload that were sent."""
        if len(self._sent) < 2:
            return 0.0
        return sum(size for _, size in self._sent[:-1]) / (self._sent[-1][0] - self._sent[0][0])


class Call:
    """Both ends, and what is between them."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.peers = {name: RTCPeerConnection() for name in (CALLER, CALLEE)}
        self.speech = {name: Speech(Path(plan[name]["speech"])) for name in self.peers}
        self.speakers = {name: Loudspeaker(WavSink(Path(plan[name]["heard"]))) for name in self.peers}
        self._paths = {name: VoicePath(plan[name]["fates"]) for name in self.peers}
        self._seconds = float(plan["seconds"])
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> dict[str, Any]:
        """Talk for as long as planned; when each side began to speak and to hear, and the processor time."""
        self._put_paths_in_place()
        for name, peer in self.peers.items():
            peer.addTrack(self.speech[name])
            peer.on("track", lambda track, name=name: self._start(self.speakers[name].take(track)))
        caller, callee = self.peers[CALLER], self.peers[CALLEE]
        await caller.setLocalDescription(await caller.createOffer())
        await callee.setRemoteDescription(caller.localDescription)
        await callee.setLocalDescription(await callee.createAnswer())
        await caller.setRemoteDescription(callee.localDescription)
        for speaker in self.speakers.values():
            self._start(speaker.play())
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(self._seconds)
        cpu = (time.process_time() - used) / (time.monotonic() - began)
        sent = {name: path.rate for name, path in self._paths.items()}
        moments = {
            name: {
                "capture_started_at": self.speech[name].source.started,
                "playout_started_at": self.speakers[name].sink.started,
            }
            for name in self.peers
        }
        await asyncio.gather(*(peer.close() for peer in self.peers.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for speaker in self.speakers.values():
            speaker.sink.close()
        return {"event": "stock", "moments": moments, "cpu": cpu, "sent": sent}

    def _put_paths_in_place(self) -> None:
        send = RTCDtlsTransport._send_rtp
        ends = self.peers

        async def over_the_path(transport: RTCDtlsTransport, packet: bytes) -> None:
            (name,) = (n for n, peer in ends.items() if peer.getSenders()[0].transport is transport)
            delay = self._paths[name].fate(packet)
            if delay is not None:
                asyncio.get_running_loop().call_later(delay, self._start, send_quietly(transport, packet))

        async def send_quietly(transport: RTCDtlsTransport, packet: bytes) -> None:
            with contextlib.suppress(ConnectionError):
                await send(transport, packet)

        RTCDtlsTransport._send_rtp = over_the_path  # type: ignore[method-assign]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.ensure_future(work))


def main() -> None:
    """Run the call of the file that was given."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    assert set(plan) >= OTHER.keys()
    print(json.dumps(asyncio.run(Call(plan).run())), flush=True)


if __name__ == "__main__":
    main()
