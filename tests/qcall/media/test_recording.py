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
from qcall.media.recording import LEAD, Recording
from qcall.media.sides import Sides


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
        assert max(len(recording._own), len(recording._far)) <= LEAD
    recording.close()
    kept = read(file)
    for place, own in enumerate((True, False)):
        track = kept[:, place]
        assert np.array_equal(track[track > 0], np.concatenate(said[own]))


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
