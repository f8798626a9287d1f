"""Recordings: what is in them, what stops them, and what they never overwrite."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.errors import DeviceError
from qcall.media.opus import Samples
from qcall.media.quality import locate
from qcall.media.recording import LEAD, Recording
from qcall.media.sides import Sides

SPEECH = Path(__file__).parents[2] / "data/speech/F1_harvard_phrases.wav"


def read(file: Path) -> np.ndarray:
    with wave.open(str(file)) as opened:
        sound = np.frombuffer(opened.readframes(10**9), np.int16)
        return sound.reshape(-1, opened.getnchannels())


def ramp(start: int, count: int) -> Samples:
    return (np.arange(start, start + count) % 30_000 + 1).astype(np.int16)


def test_one_side_is_mono_and_whole(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "own.wav", Sides.OWN)
    for at in range(0, 9_600, 960):
        recording.spoken(ramp(at, 960))
        recording.heard(ramp(5, 480))
    recording.close()
    recording.close()
    assert np.array_equal(read(tmp_path / "own.wav")[:, 0], ramp(0, 9_600))


def test_both_sides_lie_beside_each_other(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "both.wav", Sides.BOTH)
    for at in range(0, 9_600, 960):
        recording.spoken(ramp(at, 960))
        recording.heard(ramp(7 + at, 480))
        recording.heard(ramp(7 + at + 480, 480))
    recording.close()
    sound = read(tmp_path / "both.wav")
    assert np.array_equal(sound[:, 0], ramp(0, 9_600))
    assert np.array_equal(sound[:, 1], ramp(7, 9_600))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=60))
def test_no_sample_is_lost_and_neither_side_falls_behind(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]]
) -> None:
    file = tmp_path_factory.mktemp("recording") / "both.wav"
    recording = Recording(file, Sides.BOTH)
    said = {True: [np.zeros(0, np.int16)], False: [np.zeros(0, np.int16)]}
    for own, blocks in steps:
        sound = np.full(480 * blocks, 1 + len(said[own]), np.int16)
        said[own].append(sound)
        (recording.spoken if own else recording.heard)(sound)
        assert max(len(recording._own.waiting), len(recording._far.waiting)) <= LEAD
    recording.close()
    kept = read(file)
    for place, own in enumerate((True, False)):
        track, before = kept[:, place], -1
        for sound in said[own][1:]:
            there = np.flatnonzero(track == sound[0])
            assert len(there) >= len(sound)
            assert there[-1] > before
            before = there[-1]


def speech(seconds: int) -> Samples:
    """A clip, over and over, in which no sample is zero."""
    with wave.open(str(SPEECH)) as file:
        clip = np.frombuffer(file.readframes(10**9), np.int16)
    return np.resize(np.where(clip == 0, 1, clip).astype(np.int16), seconds * 48_000)


@pytest.mark.parametrize("drift", [-1e-3, 0.0, 1e-3])
def test_the_sides_stay_together_when_the_devices_clocks_do_not(tmp_path: Path, drift: float) -> None:
    seconds = 60
    sound, own = speech(seconds + 1), 0
    recording = Recording(tmp_path / "both.wav", Sides.BOTH)
    for far in range(0, seconds * 48_000, 480):
        recording.heard(sound[far : far + 480])
        if own + 960 <= (far + 480) * (1 + drift):
            recording.spoken(sound[own : own + 960])
            own += 960
    recording.close()
    kept = read(tmp_path / "both.wav")
    left, right = kept[:, 0], kept[:, 1]
    for second in range(5, seconds - 2, 5):
        at = second * 48_000
        match = locate(left[at : at + 24_000], right[at - 24_000 : at + 48_000])
        apart = (match.lag - 24_000) / 48_000
        assert match.peak > 0.95, "what was put in is not heard"
        # Both say the same, and the slower clock says it later: by so much they are apart by nature.
        assert apart == pytest.approx(drift * second, abs=0.04)
    for track in (left, right):
        silent = np.flatnonzero(track[:-4_800] == 0)
        assert len(silent) < 480, "no holes are torn into the slower side"


def test_a_side_that_ceased_and_is_back_lies_where_it_was_said(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "both.wav", Sides.BOTH)
    for block in range(500):
        recording.heard(ramp(480 * block, 480))
        if not 100 <= block < 300:
            recording.spoken(ramp(480 * block, 480))
    recording.close()
    own, far = read(tmp_path / "both.wav").T
    assert not own[48_000:144_000].any()
    assert np.array_equal(own[144_000:], far[144_000:])


def test_a_side_that_ceases_is_silence(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "both.wav", Sides.BOTH)
    for _ in range(100):
        recording.heard(np.full(480, 9, np.int16))
    recording.close()
    sound = read(tmp_path / "both.wav")
    assert len(sound) == 48_000
    assert not sound[:, 0].any()
    assert (sound[:, 1] == 9).all()


def test_an_existing_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "kept.wav"
    file.write_bytes(b"precious")
    with pytest.raises(DeviceError, match=r"kept\.wav.*; choose another file$"):
        Recording(file, Sides.OWN)
    assert file.read_bytes() == b"precious"


def test_only_its_owner_may_hear_it(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "own.wav", Sides.OWN)
    recording.spoken(ramp(0, 960))
    recording.close()
    assert (tmp_path / "own.wav").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("sides", Sides)
def test_of_what_was_never_begun_no_file_is_left(tmp_path: Path, sides: Sides) -> None:
    recording = Recording(tmp_path / "empty.wav", sides)
    assert recording.is_empty
    recording.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_recording_and_not_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path / "own.wav", Sides.OWN)
    faults: list[DeviceError] = []
    recording.on_fault = faults.append
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the recording closes it
    recording._wav.close()
    monkeypatch.setattr(recording._wav, "_file", full)
    recording.spoken(ramp(0, 960))
    recording.spoken(ramp(0, 960))
    assert ["No space left" in str(fault) for fault in faults] == [True]
