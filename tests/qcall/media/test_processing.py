"""Echo cancellation and noise suppression by the livekit wheel, on speech with a room's echo."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("livekit", reason="livekit is not installed")

from qcall.errors import DeviceError
from qcall.media.opus import Samples
from qcall.media.playout import BLOCK
from qcall.media.processing import Processing
from qcall.media.quality import level

SPEECH = Path(__file__).parents[2] / "data/speech"
ECHO_DELAY = 48_000 * 60 // 1000


def speech(name: str) -> Samples:
    with wave.open(str(SPEECH / f"{name}_harvard_phrases.wav")) as file:
        return np.frombuffer(file.readframes(10**9), np.int16)


def echo(far: Samples) -> Samples:
    """What the microphone hears of the loudspeaker: late, fainter, coloured by the room."""
    rng = np.random.default_rng(3)
    room = rng.normal(0, 0.03, 1_200) * np.exp(-np.arange(1_200) / 400)
    room[0] = 0.5
    return np.concatenate((np.zeros(ECHO_DELAY), np.convolve(far, room)))[: len(far)].astype(np.int16)


def envelope(sound: Samples) -> np.ndarray:
    """Loudness of every 10 ms: the canceller's filters keep that, and not the phase."""
    blocks = (sound[at : at + BLOCK] for at in range(0, len(sound) - BLOCK, BLOCK))
    return np.array([max(level(block), -60.0) for block in blocks])


def through(processing: Processing, far: Samples, microphone: Samples) -> Samples:
    clean = []
    for at in range(0, len(far) - BLOCK, BLOCK):
        processing.heard(far[at : at + BLOCK])
        clean.append(processing.spoken(microphone[at : at + BLOCK]))
    return np.concatenate(clean)


def test_an_echo_is_cancelled() -> None:
    far = np.tile(speech("F1"), 2)
    microphone = echo(far)
    clean = through(Processing(noise_suppression=False, gain_control=False), far, microphone)
    second = slice(len(far) // 2, len(far) - BLOCK)
    assert level(microphone[second]) - level(clean[second]) > 25


def test_speech_goes_through_while_the_far_side_is_silent() -> None:
    near = speech("M1")
    clean = through(Processing(noise_suppression=False, gain_control=False), np.zeros_like(near), near)
    before, after = envelope(near), envelope(clean)
    assert np.corrcoef(before[100 : len(after) - 4], after[101:-3])[0, 1] > 0.9
    assert level(clean[48_000:]) == pytest.approx(level(near[48_000:]), abs=2)


def test_noise_is_suppressed() -> None:
    noise = np.random.default_rng(4).normal(0, 200, 5 * 48_000).astype(np.int16)
    processing = Processing(echo_cancellation=False, gain_control=False)
    clean = through(processing, np.zeros_like(noise), noise)
    assert level(noise[-48_000:]) - level(clean[-48_000:]) > 10


def controlled(spoken: Samples) -> tuple[float, Samples]:
    """By how many decibels gain control changes what is spoken, once it has had time; and what comes out."""
    processing = Processing(echo_cancellation=False, noise_suppression=False)
    sound = through(processing, np.zeros_like(spoken), spoken)
    second = slice(len(spoken) // 2, len(sound))
    return level(sound[second]) - level(spoken[second]), sound


def clipped(sound: np.ndarray) -> float:
    """The share of samples at full scale or beyond."""
    return float(np.mean(np.abs(sound.astype(float)) >= 32_767))


@pytest.mark.parametrize("voice", ["F1", "M1"])
def test_gain_control_lifts_quiet_speech_and_clips_no_loud_speech(voice: str) -> None:
    said = np.tile(speech(voice), 2)
    quiet = (said / 16).astype(np.int16)
    loud = (said * (32_767 / np.abs(said).max())).astype(np.int16)
    lifted, made_louder = controlled(quiet)
    kept, still_loud = controlled(loud)
    assert level(quiet) < -50
    assert lifted > 20
    assert np.abs(made_louder.astype(int)).max() < 32_767
    assert kept == pytest.approx(0, abs=1)
    assert clipped(still_loud) < 1e-4
    assert clipped(loud * 10 ** (lifted / 20)) > 0.1, "what the quiet speech got would have ruined the loud"


def test_a_canceller_that_does_not_start_is_a_device_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("apm: no such stream")

    monkeypatch.setattr("livekit.rtc.apm.AudioProcessingModule.set_stream_delay_ms", fail)
    with pytest.raises(DeviceError, match=r"cannot be started \(apm: no such stream\); use a headset"):
        Processing()


@pytest.mark.parametrize("direction", ["process_stream", "process_reverse_stream"])
def test_a_canceller_that_fails_is_told_once_and_lets_speech_through(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("apm: bad state")

    processing = Processing()
    told: list[DeviceError] = []
    processing.on_fault = told.append
    monkeypatch.setattr(processing._module, direction, fail)
    block = speech("F1")[48_000 : 48_000 + BLOCK]
    for _ in range(3):
        processing.heard(block)
        assert np.array_equal(processing.spoken(block), block)
    assert ["use a headset" in str(error) for error in told] == [True]
