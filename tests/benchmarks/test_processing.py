"""What `scripts/bench processing` takes for echo, and for the near user."""

from __future__ import annotations

import numpy as np
import pytest

from qcall.media.opus import SAMPLE_RATE, Samples
from scripts.benchmarks.processing import BEFORE, BOTH, DELAY, ROOMS, Room, double_talk, enhancement, whole

SECONDS = BOTH[1] + 1


def voice(seed: int, first: int, last: int) -> Samples:
    """A noise that sounds every other second of these."""
    sound = np.random.default_rng(seed).normal(0, 1_500, SECONDS * SAMPLE_RATE)
    at = np.arange(len(sound)) // SAMPLE_RATE
    return whole(np.where((at >= first) & (at < last) & (at % 2 == 0), sound, 0.0))


def late(sound: Samples) -> Samples:
    """As late as the canceller gives it."""
    return np.concatenate((np.zeros(round(DELAY * SAMPLE_RATE / 1000), np.int16), sound))


def test_what_is_left_of_an_echo_is_compared_with_what_was_heard() -> None:
    heard = voice(1, 0, SECONDS)
    assert enhancement(heard, whole(heard / 10.0), BEFORE) == pytest.approx(20, abs=0.2)
    assert enhancement(heard, heard, BEFORE) == 0


def test_in_double_talk_echo_and_near_user_are_told_apart() -> None:
    near = voice(2, *BOTH)
    echo = whole(voice(3, 0, SECONDS) * 0.3 + np.roll(voice(4, 0, SECONDS), SAMPLE_RATE) * 0.5)
    fainter, left = double_talk(near, echo, late(whole(near * 0.5 + echo * 0.01)))
    assert fainter == pytest.approx(6, abs=0.3)
    assert left == pytest.approx(40, abs=1)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_an_echo_is_as_late_and_as_loud_as_its_room_makes_it(room: Room) -> None:
    click = np.zeros(SAMPLE_RATE, np.int16)
    click[0] = 8_000
    echo = room.echo(click)
    before = round(room.delay * SAMPLE_RATE / 1000)
    assert not echo[: before - 2].any()
    assert np.abs(echo[before - 2 : before + 2]).max() > 0.1 * np.abs(echo).max()
    energy = float(np.sum(echo**2)) / float(np.sum(click.astype(float) ** 2))
    expected = room.loss + (2.4 if room.distorts else 0.0)
    assert -10 * np.log10(energy) == pytest.approx(expected, abs=2.5)
