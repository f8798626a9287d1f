"""Tones of the phone itself: pitch, cadence, loudness, and silence when nobody wants them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.opus import Samples
from qcall.media.playout import BLOCK, SILENCE
from qcall.media.quality import level
from qcall.media.tones import BUSY, CONGESTION, HOLDING, NOMINAL, RING_BACK, RINGING, UNHEARD, Tone, Tones

ALL = [RINGING, RING_BACK, BUSY, CONGESTION, HOLDING]
SPEECH = Path(__file__).parents[2] / "data/speech/F1_harvard_phrases.wav"


def speech() -> list[Samples]:
    with wave.open(str(SPEECH)) as file:
        sound = np.frombuffer(file.readframes(10**9), np.int16)
    return [sound[at : at + BLOCK] for at in range(0, len(sound) - BLOCK, BLOCK)]


def played(tones: Tones, seconds: float) -> Samples:
    return np.concatenate([tones.over(SILENCE) for _ in range(round(100 * seconds))])


@pytest.mark.parametrize("tone", ALL, ids=lambda tone: tone.name)
def test_a_tone_has_its_frequencies_and_its_cadence(tone: Tone) -> None:
    tones = Tones()
    tones.play(tone)
    sound = played(tones, 2 * tone.period).astype(float)
    on = np.abs(sound).reshape(-1, BLOCK).max(axis=1) > 0
    expected = np.concatenate(
        [np.full(round(100 * seconds), place % 2 == 0) for place, seconds in enumerate(2 * tone.cadence)]
    )
    assert np.mean(on == expected) > 0.95
    first = sound[: round(48_000 * tone.cadence[0])]
    spectrum = np.abs(np.fft.rfft(first * np.hanning(len(first)), 48_000))
    peaks = sorted(np.argsort(spectrum)[::-1][:200])
    for frequency in tone.frequencies:
        assert any(abs(peak - frequency) <= 2 for peak in peaks)
    assert max(spectrum[round(max(tone.frequencies)) + 200 :]) < 0.01 * spectrum.max()


def test_nothing_is_heard_while_tones_are_off() -> None:
    tones = Tones(enabled=False)
    tones.play(RINGING)
    assert not played(tones, 1).any()
    assert tones.playing is None


def test_a_tone_ends_when_it_is_stopped() -> None:
    tones = Tones()
    tones.play(BUSY)
    played(tones, 0.1)
    tones.stop()
    assert not played(tones, 0.2).any()


def test_a_tone_neither_clicks_when_it_begins_nor_when_it_ends() -> None:
    tones = Tones()
    tones.play(BUSY)
    sound = played(tones, 0.7).astype(float)
    steady = np.abs(np.diff(sound[9_600:12_000], 2)).max()
    assert np.abs(np.diff(sound, 2)).max() < 2 * steady


def test_before_anybody_is_heard_a_tone_has_its_nominal_level() -> None:
    tones = Tones()
    tones.play(RING_BACK)
    assert level(played(tones, 0.9)) == pytest.approx(NOMINAL, abs=0.3)


def test_in_a_talk_in_which_nobody_was_heard_a_tone_is_faint() -> None:
    tones = Tones()
    for _ in range(100):
        tones.hear(SILENCE)
    tones.play(HOLDING)
    assert level(played(tones, 0.18)) <= UNHEARD


def test_noise_is_not_taken_for_speech() -> None:
    tones = Tones()
    rng = np.random.default_rng(5)
    for _ in range(300):
        tones.hear(rng.normal(0, 20, BLOCK).astype(np.int16))
    tones.play(HOLDING)
    assert level(played(tones, 0.18)) > UNHEARD - 1


@given(st.floats(-45, 0))
def test_a_tone_is_never_louder_than_speech(gain: float) -> None:
    tones = Tones()
    blocks = [(block * 10 ** (gain / 20)).astype(np.int16) for block in speech()]
    for block in blocks:
        tones.hear(block)
    active = np.concatenate([block for block in blocks if level(block) > -45 + gain])
    tones.play(HOLDING)
    assert level(played(tones, 0.18)) < level(active)


@given(st.lists(st.integers(-32_768, 32_767), min_size=BLOCK, max_size=BLOCK))
def test_speech_under_a_tone_never_overflows(samples: list[int]) -> None:
    tones = Tones()
    tones.play(BUSY)
    block = np.array(samples, np.int16)
    mixed = tones.over(block).astype(int)
    assert np.abs(mixed - block).max() <= 32_768 * 10 ** (NOMINAL / 20) * 1.5
