"""Calls through the whole product for measurement: a relay and two phones as programs, again and again.

The relay's own recording tells what became of every voice packet on the modelled path, so that another
system can be given the same losses and delays.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import wave
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qcall.media.opus import SAMPLE_RATE, Samples
from scripts.demonstration.recording import channel_payload, is_srtp
from scripts.demonstration.stage import Event, Program, Stage, StageError, stage

CALLER, CALLEE = "alice", "bob"
OTHER = {CALLER: CALLEE, CALLEE: CALLER}
SPEECH = Path(__file__).parents[2] / "tests/data/speech"
SETTLE = 2.0
"""Seconds of talk after which processor time is counted, and before its end until which."""
SRTP_TAG = 16
"""Bytes that AEAD_AES_256_GCM adds to a packet (RFC 7714, section 5.1)."""
TICKS = os.sysconf("SC_CLK_TCK")

Fates = list[float | None]
"""Of every voice packet in the order of sending: seconds from the relay's one side to the other, or lost."""


@dataclass(frozen=True)
class Placed:
    """One call that took place. By name: whose phone it was, or who was the speaker."""

    ready: Event
    ended: Mapping[str, Event]
    heard: Mapping[str, Path]
    stats: Mapping[str, list[Event]]
    fates: Mapping[str, Fates] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    """Bytes a second of RTP payload that each phone sent, copies included."""
    cpu: Mapping[str, float] = field(default_factory=dict)
    """Share of one core that each phone and the ``relay`` took while the call was up."""

    def moment(self, name: str, which: str) -> float:
        """A moment of the call on the monotonic clock."""
        return float(self.ended[name]["timing"][which])

    @property
    def path(self) -> float:
        """Seconds that the modelled path takes from site to site."""
        return float(self.ready["path"]["delay_ms"]) / 1000


class Slot:
    """A relay and two enrolled phones of its own; takes one call after the other."""

    def __init__(self, theatre: Stage) -> None:
        self._stage = theatre
        self._calls = 0
        self._talking = asyncio.Event()

    async def place(
        self,
        speech: Mapping[str, Path],
        seconds: float,
        *,
        relay: Sequence[str] = (),
        phone: Sequence[str] = (),
        record: bool = True,
    ) -> Placed:
        """A call of ``seconds``, in which both speak; ``relay`` and ``phone`` are options of theirs."""
        self._calls += 1
        directory = self._stage.directory / f"call-{self._calls}"
        directory.mkdir()
        recording = directory / "recording.jsonl"
        options = (*relay, *(("--record", recording) if record else ()))
        server = await self._stage.serve(*map(str, options))
        heard = {name: directory / f"heard-by-{name}.wav" for name in (CALLER, CALLEE)}
        sound = {
            name: ("--input", speech[name], "--output", heard[name], "--stats", "1", *phone)
            for name in (CALLER, CALLEE)
        }
        callee = await self._stage.listen(CALLEE, "--auto-answer", "--once", *sound[CALLEE])
        caller = await self._stage.call(CALLER, CALLEE, "--duration", str(seconds), *sound[CALLER])
        programs = {CALLER: caller, CALLEE: callee, "relay": server}
        await caller.event("media")
        cpu = await processor_time(programs, seconds)
        if (await caller.ended(limit=seconds + 30), await callee.ended()) != (0, 0):
            raise StageError(f"a call failed{caller.account()}{callee.account()}")
        ready = self._stage.ready
        await server.stop()
        return Placed(
            ready=ready,
            ended={name: await programs[name].event("ended") for name in heard},
            heard=heard,
            stats={name: [e for e in programs[name].events if e["event"] == "stats"] for name in heard},
            fates=fates(recording) if record else {},
            rates=rates(recording) if record else {},
            cpu=cpu,
        )

    async def place_between(self, phones: Mapping[str, Sequence[str]], seconds: float) -> float:
        """A call in which each phone has options of its own; seconds that its modelled path takes."""
        self._talking.clear()
        server = await self._stage.serve()
        callee = await self._stage.listen(CALLEE, "--auto-answer", "--once", *phones[CALLEE])
        caller = await self._stage.call(CALLER, CALLEE, "--duration", str(seconds), *phones[CALLER])
        await caller.event("secured")
        await callee.event("media")
        self._talking.set()
        if (await caller.ended(limit=seconds + 30), await callee.ended()) != (0, 0):
            raise StageError(f"a call failed{caller.account()}{callee.account()}")
        path = float(self._stage.ready["path"]["delay_ms"]) / 1000
        await server.stop()
        return path

    async def talking(self) -> None:
        """Wait for the call of ``place_between`` to be answered."""
        await self._talking.wait()


@contextlib.asynccontextmanager
async def slot(directory: Path, topology: str = "beijing-hefei") -> AsyncIterator[Slot]:
    """A ``Slot`` whose programs end with the context."""
    async with stage(directory) as theatre:
        server = await theatre.serve("--topology", topology)
        sites = theatre.ready["sites"]
        await theatre.enrol(CALLER, sites[0])
        await theatre.enrol(CALLEE, sites[-1])
        await server.stop()
        yield Slot(theatre)


async def processor_time(programs: Mapping[str, Program], seconds: float) -> dict[str, float]:
    """Share of one core that each program takes in the middle of a call of ``seconds``; waits for that."""
    if seconds < 3 * SETTLE:
        return {}
    await asyncio.sleep(SETTLE)
    before = {name: ticks(program.process.pid) for name, program in programs.items()}
    measured = seconds - 2 * SETTLE
    await asyncio.sleep(measured)
    return {
        name: (ticks(program.process.pid) - before[name]) / TICKS / measured
        for name, program in programs.items()
    }


def ticks(process: int) -> int:
    """Clock ticks of processor time that a process has used (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def voice(recording: Path) -> Iterator[tuple[str, Event, bytes]]:
    """Every SRTP packet of a relay's recording: whose phone's transport, the entry, the packet."""
    senders: dict[str, str] = {}
    for line in recording.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] != "turn":
            continue
        data, client = base64.b64decode(entry["data"]), entry["client"]
        payload = channel_payload(data)
        if payload is None:
            # TURN user names end in the phone's name, and travel in clear.
            for name in OTHER:
                if f":{name}".encode() in data:
                    senders[client] = name
        elif is_srtp(payload) and client in senders:
            yield senders[client], entry, payload


def fates(recording: Path) -> dict[str, Fates]:
    """What became of every voice packet, by who sent it, out of a relay's recording.

    Those behind the last that arrived went to a phone that had hung up, and are left out.
    """
    came: dict[str, dict[int, float]] = {CALLER: {}, CALLEE: {}}
    went: dict[str, dict[int, float]] = {CALLER: {}, CALLEE: {}}
    for name, entry, payload in voice(recording):
        sequence = int.from_bytes(payload[2:4], "big")
        if entry["direction"] == "in":
            came[name].setdefault(sequence, entry["time"])
        else:
            went[OTHER[name]].setdefault(sequence, entry["time"])
    every = {
        name: [None if s not in went[name] else went[name][s] - at for s, at in came[name].items()]
        for name in came
    }
    return {name: until_the_last(call) for name, call in every.items()}


def until_the_last(call: Fates) -> Fates:
    """``call`` without the packets behind the last one that arrived."""
    ends = (at + 1 for at in reversed(range(len(call))) if call[at] is not None)
    return call[: next(ends, 0)]


def rates(recording: Path) -> dict[str, float]:
    """Bytes a second of RTP payload that each phone sent, copies included, out of a relay's recording."""
    sizes: dict[str, list[int]] = {CALLER: [], CALLEE: []}
    moments: dict[str, list[float]] = {CALLER: [], CALLEE: []}
    for sender, entry, payload in voice(recording):
        if entry["direction"] == "in":
            sizes[sender].append(payload_bytes(payload) - SRTP_TAG)
            moments[sender].append(entry["time"])
    return {
        name: sum(sizes[name][:-1]) / (moments[name][-1] - moments[name][0])
        for name in sizes
        if len(sizes[name]) > 1
    }


def payload_bytes(packet: bytes) -> int:
    """The bytes behind the header of an RTP packet (RFC 3550, section 5.1), an SRTP tag included."""
    header = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        header += 4 + 4 * int.from_bytes(packet[header + 2 : header + 4], "big")
    return len(packet) - header


def read_wav(file: Path) -> Samples:
    """The samples of a mono file at 48 kHz."""
    with wave.open(str(file)) as opened:
        return np.frombuffer(opened.readframes(opened.getnframes()), np.int16)


def write_wav(file: Path, sound: Samples) -> Path:
    """A mono file at 48 kHz."""
    with wave.open(str(file), "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(SAMPLE_RATE)
        opened.writeframes(sound.tobytes())
    return file
