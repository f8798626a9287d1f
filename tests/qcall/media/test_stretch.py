"""Speech made shorter and longer: by how much, and what is heard of it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.opus import Samples
from qcall.media.stretch import ANYHOW, LONGEST, SEAM, lengthen, shorten

SPEECH = Path(__file__).parents[2] / "data/speech"


def tone(frequency: float, samples: int = 960, start: int = 0) -> Samples:
    t = (start + np.arange(samples)) / 48_000
    return (8_000 * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def roughness(sound: Samples) -> float:
    """The largest second difference: a click has one that a voice has not."""
    return float(np.abs(np.diff(sound.astype(float), 2)).max())


@pytest.mark.parametrize("pitch", [80, 110, 200, 333])
def test_a_voiced_sound_loses_whole_periods(pitch: float) -> None:
    sound = tone(pitch, 1_440)
    shorter = shorten(sound, LONGEST)
    removed = len(sound) - len(shorter)
    periods = removed * pitch / 48_000
    assert SEAM <= removed <= LONGEST
    assert periods == pytest.approx(round(periods), abs=0.05)
    assert roughness(shorter) < 1.5 * roughness(sound)


@pytest.mark.parametrize("pitch", [80, 110, 200, 333])
def test_a_voiced_sound_gains_whole_periods(pitch: float) -> None:
    past, sound = tone(pitch), tone(pitch, start=960)
    longer = lengthen(past, sound, LONGEST)
    added = len(longer) - len(sound)
    periods = added * pitch / 48_000
    assert SEAM <= added <= LONGEST
    assert periods == pytest.approx(round(periods), abs=0.05)
    assert roughness(np.concatenate((past, longer))) < 1.5 * roughness(sound)


def test_the_pitch_of_stretched_speech_stays() -> None:
    sound, pieces = tone(150, 48_000), []
    for at in range(0, 48_000 - 960, 960):
        piece = sound[at : at + 960]
        pieces.append(shorten(piece, 480) if at % 2_880 == 0 else piece)
    shorter = np.concatenate(pieces)
    assert len(shorter) < 0.95 * len(sound)
    spectrum = np.abs(np.fft.rfft(shorter.astype(float) * np.hanning(len(shorter))))
    assert np.argmax(spectrum) * 48_000 / len(shorter) == pytest.approx(150, abs=1.5)


def test_what_has_no_period_is_left_alone_unless_it_does_not_matter() -> None:
    noise = np.random.default_rng(5).integers(-3_000, 3_000, 1_440).astype(np.int16)
    assert len(shorten(noise, LONGEST)) == len(noise)
    assert len(lengthen(noise, noise[::-1], LONGEST)) == len(noise)
    assert len(shorten(noise, LONGEST, alike=ANYHOW)) < len(noise)
    assert len(lengthen(noise, noise[::-1], LONGEST, alike=ANYHOW)) > len(noise)


def test_what_is_cut_out_leaves_both_ends_as_they_were() -> None:
    sound = tone(110, 1_440)
    shorter = shorten(sound, LONGEST)
    assert np.array_equal(shorter[-100:], sound[-100:])
    longer = lengthen(sound, sound, LONGEST)
    assert np.array_equal(longer[-len(sound) :], sound)


def test_most_of_real_speech_can_be_stretched() -> None:
    with wave.open(str(SPEECH / "F1_harvard_phrases.wav")) as file:
        speech = np.frombuffer(file.readframes(3 * 48_000), np.int16)
    frames = [speech[at : at + 960] for at in range(0, len(speech) - 960, 960)]
    voiced = [frame for frame in frames if np.abs(frame).max() > 2_000]
    assert np.mean([len(shorten(frame, 480)) < 960 for frame in voiced]) > 0.4


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(-100, 2_000), st.sampled_from([0.9, ANYHOW]))
def test_no_more_than_asked_for_is_changed(past: int, samples: int, most: int, alike: float) -> None:
    rng = np.random.default_rng(samples)
    before, sound = (rng.integers(-9_000, 9_000, size).astype(np.int16) for size in (past, samples))
    assert 0 <= len(sound) - len(shorten(sound, most, alike=alike)) <= max(0, most)
    assert 0 <= len(lengthen(before, sound, most, alike=alike)) - len(sound) <= max(0, most)
