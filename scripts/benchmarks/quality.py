"""How speech sounds after the whole product, beside aiortc's stock audio path on the same speech and packets.

PESQ (ITU-T P.862.2, wideband) of two speakers in both directions of calls between two phones over the relay
and its modelled path: random loss, bursts (their mean length), jitter, distance. Beside it the E-model's
verdict (ITU-T G.107) on the loss that repair left, whose Bpl for this product is fitted to the random losses
of the same run. The rate is that of the RTP payload, copies included, of either phone.

A run in which a row was heard before its path allows, whose phrases were not found again, or which lost
what the path was not told to lose, is spoiled: the machine was too busy, and no promise is held or broken.

With ``--virtual`` the product's own parts run in virtual time instead, without programs, network and rival:
the figures are then the same on every machine, however busy it is.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qcall.media.opus import SAMPLE_RATE, Samples
from qcall.media.quality import BEST_RATING, OPUS_BPL, OPUS_IE, locate, opinion_score, rating, unrepaired
from scripts.benchmarks.calls import CALLEE, CALLER, OTHER, SPEECH, Fates, Slot, read_wav, slot, write_wav
from scripts.benchmarks.findings import Findings, Promise
from scripts.benchmarks.rivals import VERSIONS, Heard, ours, stock
from scripts.benchmarks.validity import doubts
from scripts.benchmarks.virtual_call import VirtualCall

HELP = "PESQ and E-model against loss, bursts, jitter and distance, beside stock aiortc"
PAUSE = SAMPLE_RATE // 2
LEAD = 5 * SAMPLE_RATE // 2
"""Samples of silence first: where packets are lost, the news that a call was answered may take a second."""
LONGEST = 2 * SAMPLE_RATE
"""Samples; a later answer than this is not looked for."""
WIDEBAND = 16_000
FRAME = SAMPLE_RATE // 50
"""Samples of the frames that the product sends."""


@dataclass(frozen=True)
class Condition:
    """One kind of path. ``least``: PESQ that it must have at 32 kb/s."""

    kind: str
    name: str
    loss: float = 0.0
    burst: float = 1.0
    jitter: float | None = None
    least: float | None = None
    topology: str = "beijing-hefei"
    bitrate: int | None = None
    """Of the voice, bit/s, where it is not that of the other rows."""
    copies: bool = True
    """Whether frames may travel twice: at the voice's own rate FEC has to do."""

    @property
    def relay(self) -> tuple[str, ...]:
        """The options of ``relay serve``."""
        flags = ("--topology", self.topology, "--loss", str(self.loss), "--burst", str(self.burst))
        return flags if self.jitter is None else (*flags, "--jitter", str(1000 * self.jitter))


def lossy(percent: int, burst: int = 1, least: float | None = None) -> Condition:
    """A path that loses packets, ``burst`` in a row."""
    name = f"{percent} %" + (f" in bursts of {burst}" if burst > 1 else "")
    kind = "burst" if burst > 1 else "loss"
    return Condition(kind, name, percent / 100, burst, least=least)


MUST = [
    *(lossy(0, least=4.3), lossy(5, least=4.0), lossy(10, least=3.5), lossy(10, 3, least=3.0)),
    Condition("FEC", "5 %, no copies", 0.05, least=4.0, copies=False),
    Condition("FEC", "10 %, no copies", 0.1, least=3.5, copies=False),
]
HALF = 16_000
"""Bit/s of a voice that with its copies takes what the promised one takes without."""
SWEEP = [
    Condition("rate", "10 %, 16 kb/s voice", 0.1, bitrate=HALF),
    *(lossy(percent) for percent in (1, 3, 15, 20)),
    *(lossy(percent, burst) for percent, burst in ((5, 3), (5, 6), (10, 6))),
    *(Condition("jitter", f"{ms} ms", jitter=ms / 1000) for ms in (10, 30, 60, 100)),
    *(Condition("distance", name, topology=name) for name in ("hefei-metro", "backbone-16")),
]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--only", choices=("must", "all"), default="all", help="the promised paths, or all")
    parser.add_argument("--rounds", type=int, default=3, help="times that both speakers speak in each call")
    parser.add_argument("--virtual", action="store_true", help="in virtual time; one seed for each round")
    parser.add_argument("--parallel", type=int, default=1, help="calls at once; more may spoil the run")
    parser.add_argument("--seed", type=int, default=1, help="of the modelled path")
    parser.add_argument("--bitrate", type=int, default=32_000, help="of the product's voice, bit/s")


def run(options: argparse.Namespace) -> Findings:
    """Place all calls, some at once."""
    with tempfile.TemporaryDirectory(prefix="qcall-bench-") as scratch:
        return asyncio.run(measure(options, Path(scratch)))


async def measure(options: argparse.Namespace, scratch: Path) -> Findings:
    """The findings."""
    program = Program(options.rounds)
    wanted = MUST + (SWEEP if options.only == "all" else [])
    if options.virtual:
        return conclude(options, wanted, [simulate(each, program, options) for each in wanted], {})
    speech = {name: write_wav(scratch / f"{name}.wav", program.sound) for name in (CALLER, CALLEE)}
    found: dict[str, dict[str, Any]] = {}
    for topology in dict.fromkeys(condition.topology for condition in wanted):
        queue = [condition for condition in wanted if condition.topology == topology]
        workers = [
            work(scratch / f"{topology}-{number}", topology, queue, program, speech, options, found)
            for number in range(min(options.parallel, len(queue)))
        ]
        await asyncio.gather(*workers)
    return conclude(options, wanted, [found[each.kind + each.name] for each in wanted], VERSIONS)


def conclude(
    options: argparse.Namespace,
    wanted: Sequence[Condition],
    rows: list[dict[str, Any]],
    versions: dict[str, str],
) -> Findings:
    """What the rows say together."""
    promises = [
        Promise(f"PESQ-WB, {each.name}, {row['kb/s']:g} kb/s sent", row["PESQ"], each.least, at_most=False)
        for each, row in zip(wanted, rows, strict=True)
        if each.least is not None
    ]
    fitted = fit([row for row in rows if row["kind"] == "loss"])
    bursts = [row for row in rows if row["kind"] == "burst"]
    if bursts:
        fitted["error_on_bursts"] = round(error(bursts, fitted["fitted_Bpl"]), 3)
    spoiled = [f"{row['kind']} {row['path']}: {doubt}" for row in rows for doubt in row.pop("doubts")]
    load = os.getloadavg()[0]
    details = {
        "parallel": options.parallel,
        "load_average": load,
        "e_model": {"Ie": OPUS_IE, "Bpl": OPUS_BPL, **fitted},
        "bitrate": options.bitrate,
    }
    plot = (lambda figure: draw(figure, rows)) if options.only == "all" else None
    title = "Speech in virtual time" if options.virtual else "Speech after the whole product"
    return Findings(title, rows, promises, versions, details, spoiled=spoiled, plot=plot)


class Program:
    """What is spoken: both speakers, ``rounds`` times, with pauses; and where each round begins."""

    def __init__(self, rounds: int) -> None:
        clips = [read_wav(SPEECH / f"{name}_harvard_phrases.wav") for name in ("F1", "M1")]
        pause = np.zeros(PAUSE, np.int16)
        self.round = np.concatenate((clips[0], pause, clips[1], pause))
        self.sound = np.concatenate((np.zeros(LEAD, np.int16), *[self.round] * rounds))
        self.starts = [LEAD + len(self.round) * number for number in range(rounds)]
        self.seconds = len(self.sound) / SAMPLE_RATE + 1.5


async def work(
    directory: Path,
    topology: str,
    queue: list[Condition],
    program: Program,
    speech: Mapping[str, Path],
    options: argparse.Namespace,
    found: dict[str, dict[str, Any]],
) -> None:
    """Take one condition after the other from ``queue``, first over the product, then over the stock path."""
    async with slot(directory, topology) as phones:
        while queue:
            condition = queue.pop(0)
            found[condition.kind + condition.name] = await compare(
                phones, condition, program, speech, options, directory
            )


async def compare(
    phones: Slot,
    condition: Condition,
    program: Program,
    speech: Mapping[str, Path],
    options: argparse.Namespace,
    directory: Path,
) -> dict[str, Any]:
    """One line of the table."""
    placed = await phones.place(
        speech,
        program.seconds,
        relay=(*condition.relay, "--seed", str(options.seed)),
        phone=(
            *("--bitrate", str(condition.bitrate or options.bitrate)),
            "--copies" if condition.copies else "--no-copies",
        ),
    )
    rival = await stock(placed, speech, program.seconds, directory / f"stock-{condition.name}")
    taken = [
        Taken(ours(placed, name, far), placed.fates[far], placed.ended[name]["quality"], placed.rates[far])
        for name, far in OTHER.items()
    ]
    found = await asyncio.to_thread(judge, condition, taken, placed.path, program)
    theirs = [await asyncio.to_thread(score, heard, program) for heard in rival.heard.values()]
    found["stock aiortc"] = round(float(np.mean(theirs)), 2)
    found["stock kb/s"] = round(8 * rival.sent / 1000, 1)
    found["stock ms"] = round(
        1000 * float(np.median([late(heard, program) for heard in rival.heard.values()]))
    )
    return found


def simulate(condition: Condition, program: Program, options: argparse.Namespace) -> dict[str, Any]:
    """One line of the table, in virtual time: one call for each seed."""
    taken = []
    with tempfile.TemporaryDirectory(prefix="qcall-bench-") as scratch:
        for seed in range(options.seed, options.seed + options.rounds):
            outcome = VirtualCall(
                topology=condition.topology,
                loss=condition.loss,
                burst=condition.burst,
                jitter=condition.jitter,
                seed=seed,
                bitrate=condition.bitrate or options.bitrate,
                copies=condition.copies,
            ).run(program.sound)
            file = write_wav(Path(scratch) / f"{seed}.wav", outcome.sound)
            taken.append(Taken(Heard(file, 0.0, 0.0), outcome.fates, outcome.stats, outcome.sent))
        least = min(fate for each in taken for fate in each.fates if fate is not None)
        return judge(condition, taken, least, program)


@dataclass(frozen=True)
class Taken:
    """One direction of a call: what was heard, lost on the path, counted, and sent."""

    heard: Heard
    fates: Fates
    stats: Mapping[str, float]
    sent: float
    """Bytes a second of RTP payload."""


def judge(condition: Condition, taken: Sequence[Taken], path: float, program: Program) -> dict[str, Any]:
    """What the product made of a path that takes ``path`` seconds at least."""
    fates = [each.fates for each in taken]
    scores = [score(each.heard, program) for each in taken]
    found = [phrase for each in taken for phrase in phrases(each.heard, program)]
    delay = float(np.median([phrase.late for phrase in found]))
    left, left_bursts = np.mean([unrepaired(each.stats, FRAME) for each in taken], axis=0)
    missing = doubts(
        delay=min(phrase.late for phrase in found),
        path=path,
        peak=float(np.median([phrase.peak for phrase in found])),
        loss=lost(fates),
        nominal=condition.loss,
        burst=condition.burst,
        packets=sum(map(len, fates)),
        counted=sum(each.stats["packetsLost"] for each in taken)
        / sum(each.stats["packetsLost"] + each.stats["packetsReceived"] for each in taken),
    )
    return {
        "kind": condition.kind,
        "path": condition.name,
        "lost %": round(100 * lost(fates), 1),
        "burst": round(burst_ratio(fates), 2),
        "left %": round(100 * float(left), 2),
        "left burst": round(float(left_bursts), 2),
        "kb/s": round(8 * float(np.mean([each.sent for each in taken])) / 1000, 1),
        "ms": round(1000 * delay),
        "PESQ": round(float(np.mean(scores)), 2),
        "worst": round(float(np.min(scores)), 2),
        "E-model": round(opinion_score(rating(delay, float(left), float(left_bursts))), 2),
        "doubts": list(missing),
    }


def score(heard: Heard, program: Program) -> list[float]:
    """PESQ of every round that was heard."""
    from pesq import pesq

    sound, reference = read_wav(heard.file), wideband(program.round)
    found = []
    for start in program.starts:
        cut = piece(sound, heard, start, len(program.round))
        found.append(float(pesq(WIDEBAND, reference, wideband(cut), "wb")))
    return found


def piece(sound: Samples, heard: Heard, start: int, length: int) -> Samples:
    """What was heard while the samples from ``start`` on were spoken, as late as they came."""
    begin = start + round((heard.spoke_from - heard.heard_from) * SAMPLE_RATE)
    begin += round(latest(sound, heard, start).late * SAMPLE_RATE)
    cut = sound[max(0, begin) : begin + length]
    return np.pad(cut, (max(0, -begin), max(0, length - len(cut) - max(0, -begin))))


@dataclass(frozen=True)
class Found:
    """Where the first phrase of a round was heard."""

    late: float
    """Seconds after it was spoken."""
    peak: float
    """Likeness, as ``qcall.media.quality.Match`` has it."""


def latest(sound: Samples, heard: Heard, start: int) -> Found:
    """By how much the first phrase of a round is late."""
    phrase = read_wav(SPEECH / "F1_harvard_phrases.wav")[: 2 * SAMPLE_RATE]
    begin = start + round((heard.spoke_from - heard.heard_from) * SAMPLE_RATE)
    window = sound[max(0, begin) : begin + len(phrase) + LONGEST]
    if len(window) < len(phrase) or not window.any():
        return Found(0.0, 0.0)
    match = locate(phrase, window)
    return Found((match.lag - min(0, begin)) / SAMPLE_RATE, match.peak)


def phrases(heard: Heard, program: Program) -> list[Found]:
    """The first phrase of every round."""
    sound = read_wav(heard.file)
    return [latest(sound, heard, start) for start in program.starts]


def late(heard: Heard, program: Program) -> float:
    """Seconds from mouth to ear, in the middle of all rounds."""
    return float(np.median([found.late for found in phrases(heard, program)]))


def wideband(sound: Samples) -> Samples:
    """48 kHz to the 16 kHz that PESQ wants."""
    from scipy.signal import resample_poly

    return np.clip(np.rint(resample_poly(sound.astype(float), 1, 3)), -32_768, 32_767).astype(np.int16)


def lost(fates: Sequence[Fates]) -> float:
    """The share of voice packets that the path lost."""
    every = [fate for call in fates for fate in call]
    return sum(fate is None for fate in every) / len(every)


def burst_ratio(fates: Sequence[Fates]) -> float:
    """Mean length of a burst over what random loss would give (ITU-T G.107, section 7.5)."""
    gone = [[fate is None for fate in call] for call in fates]
    runs = sum(now and not before for call in gone for before, now in itertools.pairwise((False, *call)))
    share = lost(fates)
    return max(1.0, share * sum(map(len, gone)) / runs * (1 - share)) if runs else 1.0


def error(rows: Sequence[dict[str, Any]], bpl: float) -> float:
    """How far the E-model with ``bpl`` is off PESQ on these paths, delay apart: the root mean square."""
    errors = []
    for row in rows:
        percent = row["left %"]
        equipment = OPUS_IE + (95 - OPUS_IE) * percent / (percent / row["left burst"] + bpl)
        errors.append(opinion_score(BEST_RATING - equipment) - row["PESQ"])
    return float(np.sqrt(np.mean(np.square(errors))))


def fit(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Bpl that brings the E-model nearest to PESQ on these paths, and how far off it is then."""
    candidates = np.arange(0.1, 100.0, 0.1)
    best = float(min(candidates, key=lambda bpl: error(rows, float(bpl))))
    return {"fitted_Bpl": round(best, 1), "error_of_the_fit": round(error(rows, best), 3)}


def draw(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """PESQ and the E-model against each kind of path."""
    for axes, kind in zip(figure.subplots(2, 2).flat, ("loss", "burst", "jitter", "distance"), strict=True):
        shown = [row for row in rows if row["kind"] == kind or (kind != "burst" and row["path"] == "0 %")]
        shown.sort(key=lambda row: row["lost %"] if kind == "loss" else 0)
        names = [row["path"] for row in shown]
        for column, style in (("PESQ", "o-"), ("stock aiortc", "s--"), ("E-model", ":")):
            if column not in rows[0]:
                continue
            axes.plot(names, [row[column] for row in shown], style, label=column)
        axes.set_title(kind)
        axes.set_ylim(1, 4.7)
        axes.grid(alpha=0.3)
        axes.tick_params(axis="x", labelsize="small")
        axes.legend(fontsize="small")
