"""What the echo canceller and its company do to speech, and what they cost.

The far speaker comes out of a loudspeaker and is heard by the microphone, through rooms that are simulated:
a delay, a tail that dies away, a fainter or distorted or drifting echo. Echo return loss enhancement (ITU-T
G.168) is the energy that the microphone has heard over what is left of it, while only the far user speaks:
in the first seconds, after that, and after both have spoken. While both speak (double talk), the echo is
judged in the near user's pauses, and where the near user is louder than it, how much fainter he is sent.

Delay is where noise comes out that nobody disturbs. Processor time is that of both directions, alternating
with that of Opus on the same speech. All of it is the library's work on the same samples: the figures, but
for the time, are those of every machine.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcall.errors import DeviceError
from qcall.media.opus import SAMPLE_RATE, Decoder, Encoder, Samples
from qcall.media.playout import BLOCK
from qcall.media.processing import Processing
from qcall.media.quality import level, locate
from scripts.benchmarks.calls import SPEECH, read_wav
from scripts.benchmarks.findings import Findings, Promise
from scripts.benchmarks.quality import WIDEBAND, wideband

HELP = "echo canceller, noise suppression, gain control: echo left, double talk, delay, processor time"
SEED = 3
FIRST, BEFORE, BOTH, AFTER = (0, 2), (5, 10), (10, 24), (26, 32)
"""Seconds: the far user alone at first and settled, both users, the far user alone again."""
FINER = 8
"""How many times finer the echo is sampled before another clock samples it: straight lines will do then."""
SPOKEN = 1e4
"""Energy of a sample, on average, from which there is speech: 50 dB below full scale."""
ABOVE = 3.0
"""Decibels that the near user is louder than the echo where it is judged how much of him is left."""
LEAST_ENHANCEMENT, MOST_ATTENUATION = 25.0, 3.0
"""Decibels that a settled canceller takes off the echo, and off the near user in double talk at most."""
DELAY = 9.0
"""Milliseconds that the canceller adds."""

Sound = NDArray[np.float64]


@dataclass(frozen=True)
class Room:
    """What lies between loudspeaker and microphone; simulated."""

    name: str
    delay: float
    """Milliseconds, those of the devices included."""
    reverberation: float
    """Seconds until the tail has died away by 60 dB."""
    loss: float = 6.0
    """Decibels by which the echo is fainter than what was played; below zero it is louder."""
    drift: float = 0.0
    """How much faster the microphone's clock goes than the loudspeaker's."""
    distorts: bool = False
    """Whether the loudspeaker is driven into saturation."""

    def echo(self, far: Samples) -> Sound:
        """What the microphone hears of ``far``."""
        played = far.astype(np.float64)
        if self.distorts:
            played = 8_000 * np.tanh(played / 8_000)
        rng = np.random.default_rng(SEED)
        tail = round(self.reverberation * SAMPLE_RATE)
        response = rng.normal(0, 1, tail) * 10 ** (-3 * np.arange(tail) / tail)
        response *= 0.7 / np.sqrt(np.sum(response**2))
        response[0] += 0.7
        size = 1 << (len(played) + tail).bit_length()
        spectrum = np.fft.rfft(played, size) * np.fft.rfft(response, size)
        finer = FINER if self.drift else 1
        heard = finer * np.fft.irfft(spectrum, finer * size)[: finer * len(far)]
        at = finer * (np.arange(len(far)) / (1 + self.drift) - self.delay * SAMPLE_RATE / 1000)
        return np.interp(at, np.arange(len(heard)), heard, left=0.0) * 10 ** (-self.loss / 20)


ROOMS = [
    Room("laptop on a desk", 30, 0.2),
    Room("living room", 60, 0.4),
    Room("bare hall", 60, 0.8),
    Room("loudspeaker at the microphone", 20, 0.2, loss=-6.0),
    Room("wireless, 200 ms", 200, 0.3),
    Room("two clocks, 200 ppm apart", 60, 0.3, drift=200e-6),
    Room("loudspeaker that distorts", 60, 0.3, distorts=True),
]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=10, help="measurements of processor time, of 2 s each")


def run(options: argparse.Namespace) -> Findings:
    """Everything, one after the other."""
    title = "Echo return loss enhancement, dB, and how much fainter the near user is in double talk, dB"
    try:
        Processing()
    except DeviceError as error:
        return Findings(title, [], unmeasured=[f"all of it ({error})"])
    far, near = (read_wav(SPEECH / f"{name}_harvard_phrases.wav") for name in ("F1", "M1"))
    rows = [row(room, np.resize(far, AFTER[1] * SAMPLE_RATE), near) for room in ROOMS]
    spent, coding = processor(options.rounds, far, near)
    promises = [
        Promise(f"echo return loss enhancement, {ROOMS[0].name}, dB", rows[0]["settled"], LEAST_ENHANCEMENT,
                at_most=False),
        Promise("near user fainter in double talk, worst room, dB",
                max(each["near user fainter"] for each in rows), MOST_ATTENUATION),
        Promise("delay that the echo canceller adds, ms", delay(canceller()), DELAY),
    ]  # fmt: skip
    figures = {
        "ms of delay with noise suppression, too": delay(Processing(gain_control=False)),
        "us of processor time per 10 ms, both directions, all on": round(spent, 1),
        "% of a core": round(spent / 100, 2),
        "times what Opus takes for them": round(spent / coding, 2),
        **noise(near),
        "dB that gain control adds to speech of -51 dBFS": round(gain(near), 1),
    }
    versions = {"livekit": version("livekit")}
    return Findings(title, rows, promises, versions, figures=figures)


def canceller() -> Processing:
    """The echo canceller by itself."""
    return Processing(noise_suppression=False, gain_control=False)


def through(processing: Processing, far: Samples, microphone: Samples) -> Samples:
    """What is sent of what the ``microphone`` hears while ``far`` is played."""
    sent = []
    for at in range(0, len(microphone) - BLOCK + 1, BLOCK):
        processing.heard(far[at : at + BLOCK])
        sent.append(processing.spoken(microphone[at : at + BLOCK]))
    return np.concatenate(sent)


def whole(sound: Sound) -> Samples:
    """As a microphone gives it."""
    return np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16)


def row(room: Room, far: Samples, near: Samples) -> dict[str, Any]:
    """A line of the table: one room."""
    begin, times = BOTH[0] * SAMPLE_RATE, (BOTH[1] - BOTH[0]) * SAMPLE_RATE // len(near)
    spoken = np.zeros(len(far), np.int16)
    spoken[begin : begin + times * len(near)] = np.tile(near, times)
    background = np.random.default_rng(SEED).normal(0, 5, len(far))
    echo = whole(room.echo(far))
    heard = whole(echo + spoken + background)
    sent = through(canceller(), far, heard)
    fainter, left = double_talk(spoken, echo, sent)
    return {
        "room (simulated)": room.name,
        "echo, dBFS": round(level(echo), 1),
        "first 2 s": enhancement(heard, sent, FIRST),
        "settled": enhancement(heard, sent, BEFORE),
        "double talk, in pauses": left,
        "after it": enhancement(heard, sent, AFTER),
        "near user fainter": fainter,
    }


def double_talk(spoken: Samples, echo: Samples, sent: Samples) -> tuple[float, float]:
    """Decibels by which the near user is fainter, and by which the echo is in the pauses between."""
    late = round(DELAY * SAMPLE_RATE / 1000)
    near, far, out = (smoothed(sound) for sound in (spoken, echo, sent[late:]))
    both = slice(100 * BOTH[0] + 50, 100 * BOTH[1] - 50)
    near, far, out = near[both], far[both], out[both]
    spoke = (near > SPOKEN) & (near > 10 ** (ABOVE / 10) * far)
    paused = (near < SPOKEN / 100) & (far > SPOKEN)
    return decibels(near[spoke], out[spoke]), decibels(far[paused], out[paused])


def smoothed(sound: Samples) -> Sound:
    """The energy of every sample, on average over 30 ms, every 10 ms."""
    energies = np.mean(blocks(sound).astype(np.float64) ** 2, axis=1)
    return np.convolve(energies, np.ones(3) / 3, "same")


def decibels(before: Sound, after: Sound) -> float:
    """By how much fainter it is afterwards."""
    return round(10 * float(np.log10(np.sum(before) / max(float(np.sum(after)), 1.0))), 1)


def enhancement(heard: Samples, sent: Samples, seconds: tuple[int, int]) -> float:
    """Decibels by which the echo is fainter than it was heard, in these seconds."""
    part = slice(seconds[0] * SAMPLE_RATE, seconds[1] * SAMPLE_RATE)
    before, after = (np.mean(blocks(sound[part]).astype(np.float64) ** 2, axis=1) for sound in (heard, sent))
    return decibels(before[before > SPOKEN], after[before > SPOKEN])


def blocks(sound: Samples) -> Samples:
    """``sound`` in rows of 10 ms."""
    return sound[: len(sound) // BLOCK * BLOCK].reshape(-1, BLOCK)


def pesq(said: Samples, sent: Samples) -> float:
    """PESQ-WB (ITU-T P.862.2) of what was sent of what was said."""
    from pesq import pesq as score

    return round(float(score(WIDEBAND, wideband(said), wideband(sent), "wb")), 2)


def delay(processing: Processing) -> float:
    """Milliseconds by which noise comes out later than it went in."""
    noise = whole(np.random.default_rng(SEED).normal(0, 2_000, 6 * SAMPLE_RATE))
    sent = through(processing, np.zeros_like(noise), noise)
    begin = 4 * SAMPLE_RATE
    match = locate(noise[begin : begin + SAMPLE_RATE], sent[begin : begin + 3 * SAMPLE_RATE // 2])
    return round(1000 * match.lag / SAMPLE_RATE, 1)


def processor(rounds: int, far: Samples, near: Samples) -> tuple[float, float]:
    """Microseconds that 10 ms take in both directions: all processing, and Opus."""
    heard = whole(ROOMS[0].echo(far)[: len(near)] + near)
    processing, encoder, decoder = Processing(), Encoder(frame_ms=20, bitrate=32_000), Decoder()
    frames = [heard[at : at + 2 * BLOCK] for at in range(0, 2 * SAMPLE_RATE, 2 * BLOCK)]
    played = [far[at : at + BLOCK] for at in range(0, 2 * SAMPLE_RATE, BLOCK)]
    spent, coding = [], []
    for _ in range(rounds):
        began = time.process_time()
        for block, echo in zip(played, blocks(heard[: 2 * SAMPLE_RATE]), strict=True):
            processing.heard(block)
            processing.spoken(echo)
        between = time.process_time()
        for frame in frames:
            decoder.decode(encoder.encode(frame))
        spent.append(between - began)
        coding.append(time.process_time() - between)
    microseconds = 1e6 / len(played)
    return float(np.median(spent)) * microseconds, float(np.median(coding)) * microseconds


def noise(near: Samples) -> dict[str, float]:
    """What noise suppression does to noise, and to speech in it."""
    rng = np.random.default_rng(SEED)
    hiss = whole(rng.normal(0, 200, 5 * SAMPLE_RATE))
    processing = Processing(gain_control=False)
    left = through(processing, np.zeros_like(hiss), hiss)[-SAMPLE_RATE:]
    noisy = whole(near + rng.normal(0, 200, len(near)))
    sent = through(processing, np.zeros_like(noisy), noisy)
    return {
        "dB that noise suppression takes off noise": round(level(hiss[-SAMPLE_RATE:]) - level(left), 1),
        "PESQ-WB of speech in noise": pesq(near, noisy),
        "the same with noise suppression": pesq(near, sent),
    }


def gain(near: Samples) -> float:
    """Decibels that quiet speech is lifted by, once gain control has settled."""
    quiet = np.tile((near / 16).astype(np.int16), 3)
    lifted = through(Processing(echo_cancellation=False, noise_suppression=False), quiet, quiet)
    return level(lifted[-len(near) :]) - level(quiet[-len(near) :])
