"""Mouth to ear through the whole product, by chirps on one clock, beside aiortc's stock audio path.

Two phones and a relay as programs, 1,000 km of modelled path between them. Both sides say chirps, and the
files of both are matched against them. The stock path gets every packet lost or delayed as the product's was.
Processor time is that of a phone in a call, which speaks and listens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcall.media.delay import WINDOW
from qcall.media.opus import SAMPLE_RATE
from qcall.media.quality import CHIRP_PERIOD, chirp_delays, chirps
from scripts.benchmarks.calls import CALLEE, CALLER, OTHER, Placed, Slot, read_wav, slot, write_wav
from scripts.benchmarks.findings import Findings, Promise
from scripts.benchmarks.rivals import VERSIONS, Heard, ours, stock
from scripts.demonstration.soundserver import SoundServer, is_available

HELP = "mouth to ear by chirps, beside stock aiortc; with PulseAudio; processor time of a call"
BAD_PATH = ("--loss", "0.05", "--jitter", "30")
RARELY = 2 * SAMPLE_RATE
"""Samples between two chirps where delays may be longer than half a second."""
LATE = 10.0
"""Seconds at the end of a long call over which its delay is compared with its target."""

Delays = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """One kind of call."""

    name: str
    seconds: float
    relay: Sequence[str] = ()
    phone: Sequence[str] = ()
    limit: float | None = None
    """Milliseconds that the 95th percentile may have beyond the modelled path."""
    period: int = CHIRP_PERIOD


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a call on a clean path")
    parser.add_argument("--bad", type=float, default=65.0, help="length of the call on a bad path; 0: none")
    parser.add_argument("--rounds", type=int, default=1, help="calls of each kind on a clean path")
    parser.add_argument("--seed", type=int, default=1, help="of the modelled path")
    parser.add_argument("--no-pulseaudio", action="store_true", help="leave the real devices out")


def conditions(options: argparse.Namespace) -> list[Condition]:
    """All calls, in order."""
    seed = ("--seed", str(options.seed))
    clean = [
        Condition("clean, 20 ms frames", options.seconds, seed, (), 50.0),
        Condition("clean, 10 ms frames", options.seconds, seed, ("--frame", "10"), 35.0),
    ]
    bad = Condition("5 % loss, 30 ms jitter", options.bad, (*BAD_PATH, *seed), period=RARELY)
    return clean * options.rounds + ([bad] if options.bad else [])


def run(options: argparse.Namespace) -> Findings:
    """Place all calls, one after the other."""
    with tempfile.TemporaryDirectory(prefix="qcall-bench-") as scratch:
        return asyncio.run(measure(options, Path(scratch)))


async def measure(options: argparse.Namespace, scratch: Path) -> Findings:
    """The findings."""
    longest = max(options.seconds, options.bad, 20)
    files = {
        period: write_wav(scratch / f"chirps-{period}.wav", chirps(round(longest * SAMPLE_RATE), period))
        for period in (CHIRP_PERIOD, RARELY)
    }
    rows: list[dict[str, Any]] = []
    promises: list[Promise] = []
    details: dict[str, Any] = {"delays_ms": {}}
    clean: Placed | None = None
    async with slot(scratch / "slot") as phones:
        for number, condition in enumerate(conditions(options)):
            speech = dict.fromkeys((CALLER, CALLEE), files[condition.period])
            given = {"relay": condition.relay, "phone": condition.phone}
            placed = await phones.place(speech, condition.seconds, **given)
            found = both(placed, condition.period)
            rows.append(row("qcall", condition, found, placed.path, placed.cpu))
            clean = clean or placed
            rival = await stock(placed, speech, condition.seconds, scratch / f"stock-{number}")
            theirs = np.concatenate([delays(heard, condition.period) for heard in rival.heard.values()])
            twice = {CALLER: rival.cpu / 2, CALLEE: rival.cpu / 2}
            rows.append(row("stock aiortc", condition, theirs, placed.path, twice))
            details["delays_ms"] |= {f"{r['what']}: {r['condition']}": r for r in rows[-2:]}
            if condition.limit is not None:
                p95 = 1000 * (np.quantile(found, 0.95) - placed.path)
                what = f"mouth to ear beyond the path, p95, {condition.name}, ms"
                promises.append(Promise(what, round(float(p95), 1), condition.limit))
            else:
                promises.append(stays_at_target(placed, clean))
        if is_available() and not options.no_pulseaudio:
            found, path = await with_pulseaudio(phones, scratch, options.seconds)
            rows.append(row("qcall", Condition("PulseAudio, 20 ms frames", options.seconds), found, path, {}))
            p95 = 1000 * float(np.quantile(found, 0.95))
            promises.append(
                Promise("mouth to ear with PulseAudio, path included, p95, ms", round(p95, 1), 110)
            )
    cpu = next(r["cpu % per phone"] for r in rows)
    details["processor"] = {
        "percent_of_a_core_per_call_and_direction": round(cpu / 2, 2),
        "headless_phones_per_core": round(100 / cpu, 1),
    }
    return Findings(
        "Mouth to ear, milliseconds, the modelled path included",
        [{key: value for key, value in each.items() if key != "samples"} for each in rows],
        promises,
        VERSIONS,
        details,
        plot=lambda figure: draw(figure, rows),
    )


def row(
    what: str, condition: Condition, found: Delays, path: float, cpu: Mapping[str, float]
) -> dict[str, Any]:
    """One line of the table."""
    used = [cpu[name] for name in (CALLER, CALLEE) if name in cpu]
    return {
        "what": what,
        "condition": condition.name,
        "chirps": len(found),
        "p50": round(1000 * float(np.quantile(found, 0.5)), 1),
        "p95": round(1000 * float(np.quantile(found, 0.95)), 1),
        "max": round(1000 * float(found.max()), 1),
        "path": round(1000 * path, 1),
        "cpu % per phone": round(100 * float(np.mean(used)), 1) if used else float("nan"),
        "samples": [round(1000 * float(delay), 1) for delay in found],
    }


def delays(heard: Heard, period: int = CHIRP_PERIOD) -> Delays:
    """Seconds from mouth to ear of every chirp that was heard."""
    return chirp_delays(read_wav(heard.file), heard.heard_from - heard.spoke_from, period)


def both(placed: Placed, period: int) -> Delays:
    """The delays of both directions."""
    return np.concatenate([delays(ours(placed, listener, OTHER[listener]), period) for listener in OTHER])


def stays_at_target(placed: Placed, clean: Placed) -> Promise:
    """How far the delay at the end of a long call is from what the buffer's own target makes of it.

    What else there is between mouth and ear, frame, codec and devices, is taken from the clean call: the
    delay that was heard there, less the target of the buffer and the path there. The path is what its
    fastest packets of every two seconds took; the target is on top of that.
    """
    late = round(LATE * SAMPLE_RATE / RARELY)
    off = []
    for listener, speaker in OTHER.items():
        rest = np.median(delays(ours(clean, listener, speaker)))
        rest -= target(clean, listener) + fastest(clean, speaker)
        heard = np.median(delays(ours(placed, listener, speaker), RARELY)[-late:])
        off.append(1000 * abs(float(heard - rest) - target(placed, listener) - fastest(placed, speaker)))
    return Promise("off the buffer's target after a minute of loss and jitter, ms", round(max(off), 1), 20)


def fastest(placed: Placed, speaker: str) -> float:
    """Seconds that the fastest packets of the last seconds of a call took on the path."""
    window, fates = round(WINDOW / 0.02), placed.fates[speaker]
    late = fates[-round((LATE + WINDOW) / 0.02) :]
    least = [
        min(came for came in late[at : at + window] if came is not None) for at in range(len(late) - window)
    ]
    return float(np.mean(least))


def target(placed: Placed, listener: str) -> float:
    """Seconds that the listener's buffer aimed at in the last seconds of its call."""
    told = [event["quality"] for event in placed.stats[listener]]
    early, last = told[-min(len(told), round(LATE))], told[-1]
    emitted = last["jitterBufferEmittedCount"] - early["jitterBufferEmittedCount"]
    return float(last["jitterBufferTargetDelay"] - early["jitterBufferTargetDelay"]) / emitted


async def with_pulseaudio(phones: Slot, scratch: Path, seconds: float) -> tuple[Delays, float]:
    """The delays from what one phone's microphone hears to what the other's loudspeaker plays."""
    server = await SoundServer.start(scratch, ["mouth", "ear"])
    alsa = server.alsa_configuration(scratch, microphones=["mouth"], speakers=["ear"])
    os.environ["ALSA_CONFIG_PATH"] = str(alsa)
    try:
        sound = chirps(round((seconds - 4) * SAMPLE_RATE))
        devices = {
            CALLER: ("--microphone", "mouth", "--output", "null", "--processing", "off"),
            CALLEE: ("--input", "null", "--speaker", "ear", "--ring-tones", "off"),
        }
        calling = asyncio.create_task(phones.place_between(devices, seconds))
        await phones.talking()
        await asyncio.sleep(3)  # PulseAudio stalls for two seconds when a stream begins.
        length = seconds - 3 - 0.5
        said = asyncio.create_task(server.record_timed("mouth", length))
        heard = asyncio.create_task(server.record_timed("ear", length))
        player = await server.play("mouth", sound)
        spoken, spoken_at = await said
        played, played_at = await heard
        ready = await calling
        await player.wait()
    finally:
        await server.stop()
        del os.environ["ALSA_CONFIG_PATH"]
    first = int(np.argmax(np.abs(spoken) > 1000)) - round(0.0025 * SAMPLE_RATE)
    began = spoken_at + (first - CHIRP_PERIOD // 2) / SAMPLE_RATE
    return chirp_delays(played, played_at - began), ready


def draw(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Delay against time, a line for each call."""
    axes = figure.subplots()
    for each in rows:
        half = each["samples"][: (len(each["samples"]) + 1) // 2]
        style = "--" if each["what"] == "stock aiortc" else "-"
        axes.plot(
            [0.5 * at for at in range(len(half))], half, style, label=f"{each['what']}, {each['condition']}"
        )
    axes.set_xlabel("seconds of the call")
    axes.set_ylabel("mouth to ear, ms")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
