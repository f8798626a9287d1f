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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcall.media.delay import WINDOW
from qcall.media.opus import SAMPLE_RATE
from qcall.media.quality import CHIRP_PERIOD, chirp_delays, chirps, chirps_due
from scripts.benchmarks.calls import CALLEE, CALLER, OTHER, Placed, Slot, read_wav, slot, write_wav
from scripts.benchmarks.crowd import gather
from scripts.benchmarks.directions import price
from scripts.benchmarks.findings import Findings, Promise
from scripts.benchmarks.rivals import VERSIONS, Heard, ours, stock
from scripts.demonstration.soundserver import SoundServer, is_available

HELP = "mouth to ear by chirps, beside stock aiortc; with PulseAudio; processor time of a call"
BAD_PATH = ("--loss", "0.05", "--jitter", "30")
RARELY = 2 * SAMPLE_RATE
"""Samples between two chirps where delays may be longer than half a second."""
SURVIVE = 95.0
"""Percent of the chirps that must be heard on a clean path."""
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
    frames: int = 20
    """Milliseconds of the product's frames."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a call on a clean path")
    parser.add_argument("--bad", type=float, default=65.0, help="length of the call on a bad path; 0: none")
    parser.add_argument("--rounds", type=int, default=1, help="calls of each kind on a clean path")
    parser.add_argument("--seed", type=int, default=1, help="of the modelled path")
    parser.add_argument(
        "--phones", type=int, default=24, help="headless phones at once at most, even; 0: none"
    )
    parser.add_argument("--no-pulseaudio", action="store_true", help="leave the real devices out")


def conditions(options: argparse.Namespace) -> list[Condition]:
    """All calls, in order."""
    seed = ("--seed", str(options.seed))
    clean = [
        Condition("clean, 20 ms frames", options.seconds, seed, (), 50.0),
        Condition("clean, 10 ms frames", options.seconds, seed, ("--frame", "10"), 35.0, frames=10),
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
    clean: Placed | None = None
    async with slot(scratch / "slot") as phones:
        for number, condition in enumerate(conditions(options)):
            file = files[condition.period]
            placed, pair = await compare(phones, condition, file, scratch / f"stock-{number}")
            rows += pair
            clean = clean or placed
            if condition.limit is not None:
                promises += [within_limit(condition, pair[0]), survived(condition, pair[0])]
            else:
                promises += [stays_at_target(placed, clean), waits_as_aimed(placed)]
        if is_available() and not options.no_pulseaudio:
            found, path, spoken = await with_pulseaudio(phones, scratch, options.seconds)
            real = Condition("PulseAudio, 20 ms frames", 0)
            rows.append(row("qcall", real, found, spoken, path, {}))
            p95 = rows[-1]["p95"]
            promises += [
                Promise("mouth to ear with PulseAudio, path included, p95, ms", p95, 110),
                survived(real, rows[-1]),
            ]
    assert clean is not None
    figures = setup(clean) | await processor(options, rows, files[CHIRP_PERIOD], scratch)
    return Findings(
        "Mouth to ear, milliseconds, the modelled path included",
        [{key: value for key, value in each.items() if key != "samples"} for each in rows],
        promises,
        VERSIONS,
        {"delays_ms": {f"{r['what']}: {r['condition']}": r for r in rows}},
        figures,
        plot=lambda figure: draw(figure, rows),
    )


async def compare(
    phones: Slot, condition: Condition, file: Path, scratch: Path
) -> tuple[Placed, list[dict[str, Any]]]:
    """A call of the product and its twin over the stock path: a line of the table for each."""
    speech = dict.fromkeys((CALLER, CALLEE), file)
    placed = await phones.place(speech, condition.seconds, relay=condition.relay, phone=condition.phone)
    twin = stock_condition(condition)
    thin = thinned(placed, twin.frames // condition.frames)
    rival = await stock(thin, speech, condition.seconds, scratch)
    twice = dict.fromkeys((CALLER, CALLEE), rival.cpu / 2)
    period, mine = condition.period, [ours(placed, listener, OTHER[listener]) for listener in OTHER]
    theirs = list(rival.heard.values())
    return placed, [
        row("qcall", condition, every(mine, period), due(mine, period), placed.path, placed.cpu),
        row("stock aiortc", twin, every(theirs, period), due(theirs, period), placed.path, twice),
    ]


def within_limit(condition: Condition, line: Mapping[str, Any]) -> Promise:
    """Late by no more than the condition allows beyond the path."""
    what = f"mouth to ear beyond the path, p95, {condition.name}, ms"
    assert condition.limit is not None
    return Promise(what, round(line["p95"] - line["path"], 1), condition.limit)


def survived(condition: Condition, line: Mapping[str, Any]) -> Promise:
    """Delays are those of what was heard: nearly all has to be."""
    what = f"chirps that were heard, {condition.name}, %"
    return Promise(what, round(100 * line["chirps"] / max(1, line["of"]), 1), SURVIVE, at_most=False)


def setup(placed: Placed) -> dict[str, float]:
    """How long the caller of a call waited, the path included."""
    timing = placed.ended[CALLER]["timing"]
    return {
        "ms from dial to ringing, path included": round(timing["dial_to_ringing_ms"], 1),
        "ms from answer to first audio, path included": round(timing["answered_to_audio_ms"], 1),
    }


async def processor(
    options: argparse.Namespace, rows: Sequence[Mapping[str, Any]], speech: Path, scratch: Path
) -> dict[str, float]:
    """What a call takes of a core, alone and beside others, and of that its voice in either direction."""
    voice = await asyncio.to_thread(price, read_wav(speech), options.seed)
    found = {
        "% of a core for a phone in a call, both directions": float(rows[0]["cpu % per phone"]),
        "% of a core for its voice as it is sent": round(100 * voice.sending, 2),
        "% of a core for its voice as it is heard": round(100 * voice.receiving, 2),
    }
    if options.phones:
        crowd = await gather(scratch / "crowd", options.phones, options.seconds, speech)
        found |= {
            "headless phones in calls at once": crowd.phones,
            "% of a core for each of them": round(100 * crowd.share, 2),
            "headless phones that a core carries at that price": round(crowd.per_core, 1),
            "% of a core for their relay": round(100 * crowd.relay, 1),
            "worst MOS among them (E-model)": round(crowd.mos, 2),
        }
    return found


def row(
    what: str, condition: Condition, found: Delays, due: int, path: float, cpu: Mapping[str, float]
) -> dict[str, Any]:
    """One line of the table; ``found`` are the delays of those ``due`` chirps that were heard."""
    used = [cpu[name] for name in (CALLER, CALLEE) if name in cpu]
    return {
        "what": what,
        "condition": condition.name,
        "chirps": len(found),
        "of": due,
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


def due(heard: Sequence[Heard], period: int) -> int:
    """Chirps that were spoken while the other side listened."""
    return sum(
        chirps_due(len(read_wav(each.file)), each.heard_from - each.spoke_from, period) for each in heard
    )


def every(heard: Sequence[Heard], period: int) -> Delays:
    """The delays of all who listened."""
    return np.concatenate([delays(each, period) for each in heard])


def stock_condition(condition: Condition) -> Condition:
    """What the stock path is given: its frames are 20 ms long, whatever the product's are."""
    if condition.frames == 20:
        return condition
    return replace(condition, name="clean, 20 ms frames (has no shorter)", frames=20)


def thinned(placed: Placed, frames: int) -> Placed:
    """``placed`` as a path for packets that carry so many of its frames each: the fate of each one's last."""
    return replace(placed, fates={name: call[frames - 1 :: frames] for name, call in placed.fates.items()})


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
    return late_mean(placed, listener, "jitterBufferTargetDelay")


def late_mean(placed: Placed, listener: str, name: str) -> float:
    """Seconds of a sum of webrtc-stats, for each sample emitted in the last seconds of a call."""
    told = [event["quality"] for event in placed.stats[listener]]
    early, last = told[-min(len(told), round(LATE))], told[-1]
    emitted = last["jitterBufferEmittedCount"] - early["jitterBufferEmittedCount"]
    return float(last[name] - early[name]) / emitted


def waits_as_aimed(placed: Placed) -> Promise:
    """How far jitterBufferDelay is from jitterBufferTargetDelay at the end of a long call.

    The target is what the fastest packet is to wait, the delay what packets did wait. By as much as the
    path took longer with the mean of them, they waited less; the relay's recording tells how much that is.
    """
    off = []
    for listener, speaker in OTHER.items():
        came = [each for each in placed.fates[speaker][-round(LATE / 0.02) :] if each is not None]
        slower = float(np.mean(came)) - fastest(placed, speaker)
        waited = late_mean(placed, listener, "jitterBufferDelay") + slower
        off.append(1000 * abs(waited - target(placed, listener)))
    return Promise("jitterBufferDelay off its target after that minute, ms", round(max(off), 1), 20)


async def with_pulseaudio(phones: Slot, scratch: Path, seconds: float) -> tuple[Delays, float, int]:
    """Delays from what one phone's microphone hears to what the other's speaker plays; path, chirps due."""
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
    started = played_at - began
    listened = min(len(played), len(sound) - round(started * SAMPLE_RATE))
    return chirp_delays(played, started), ready, chirps_due(listened, started)


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
