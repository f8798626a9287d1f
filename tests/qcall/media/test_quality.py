"""The E-model, RTP's loss and jitter, and finding one sound in another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.quality import (
    Reception,
    chirp,
    chirp_delays,
    chirps,
    chirps_due,
    delay_impairment,
    level,
    locate,
    opinion_score,
    rating,
    unrepaired,
)

NOISE = np.random.default_rng(7).integers(-8_000, 8_000, 48_000).astype(np.int16)


def test_a_perfect_call_scores_as_g107_has_it() -> None:
    # ITU-T G.107, default values without equipment: R = 93.2 is a MOS of 4.41.
    assert opinion_score(rating(0.0, 0.0)) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("one_way", "expected"), [(0.05, 0.0), (0.1, 0.0), (0.2, 3.0), (0.4, 24.0)])
def test_delay_costs_what_g107_says(one_way: float, expected: float) -> None:
    assert delay_impairment(one_way) == pytest.approx(expected, abs=0.5)


@given(st.floats(0, 2), st.floats(0, 0.9), st.floats(0, 0.1))
def test_more_loss_never_scores_better(one_way: float, loss: float, more: float) -> None:
    assert opinion_score(rating(one_way, loss + more)) <= opinion_score(rating(one_way, loss)) + 1e-9


@given(st.floats(-50, 150))
def test_scores_stay_on_the_scale(r: float) -> None:
    assert 0.99 <= opinion_score(r) <= 4.5


def test_loudness_is_relative_to_full_scale() -> None:
    square = np.tile(np.array([32_767, -32_767], np.int16), 240)
    assert level(square) == pytest.approx(0, abs=0.01)
    assert level((square // 10).astype(np.int16)) == pytest.approx(-20, abs=0.05)
    assert level(np.zeros(480, np.int16)) == level(np.zeros(0, np.int16)) == -96


def test_loss_is_what_the_sequence_numbers_miss() -> None:
    reception = Reception()
    for sequence in (10, 11, 13, 14, 12, 17):
        reception.add(sequence, 0.02 * sequence, 0.02 * sequence)
    assert (reception.expected, reception.received, reception.lost) == (8, 6, 2)


def test_a_steady_stream_has_no_jitter_and_an_alternating_one_has_its_step() -> None:
    steady, shaking = Reception(), Reception()
    for sequence in range(500):
        media = 0.02 * sequence
        steady.add(sequence, media, media + 5)
        shaking.add(sequence, media, media + 0.01 * (sequence % 2))
    assert steady.jitter == pytest.approx(0, abs=1e-9)
    assert shaking.jitter == pytest.approx(0.01, rel=0.01)


@given(st.integers(0, 40_000), st.floats(0.1, 1.5))
def test_a_sound_is_found_where_it_is_however_loud(lag: int, gain: float) -> None:
    haystack = np.zeros(48_000, np.int16)
    haystack[lag : lag + 4_800] = (NOISE[:4_800] * gain).astype(np.int16)
    match = locate(NOISE[:4_800], haystack)
    assert match.lag == lag
    assert match.peak > 0.999


def test_another_sound_is_not_found() -> None:
    assert locate(NOISE[:4_800], NOISE[24_000:]).peak < 0.2


def test_a_silent_needle_is_refused() -> None:
    with pytest.raises(ValueError, match="not silent"):
        locate(np.zeros(10, np.int16), NOISE)


@pytest.mark.parametrize("delay", [0.0, 0.0471, 0.3])
def test_chirps_tell_the_delay(delay: float) -> None:
    late = np.concatenate((np.zeros(round(delay * 48_000), np.int16), chirps(5 * 48_000)))
    measured = chirp_delays(late, started=0.0)
    assert len(measured) >= 9
    assert measured == pytest.approx(delay, abs=1e-4)


def test_chirps_are_matched_when_listening_began_late() -> None:
    heard = np.concatenate((np.zeros(4_800, np.int16), chirps(5 * 48_000)))[48_000:]
    assert chirp_delays(heard, started=1.0) == pytest.approx(0.1, abs=1e-4)


def test_chirps_are_told_from_noise() -> None:
    assert len(chirp_delays(np.tile(NOISE, 5), started=0.0)) == 0


def test_a_chirp_stays_within_the_voice_band() -> None:
    spectrum = np.abs(np.fft.rfft(chirp().astype(float), 48_000)) ** 2
    assert spectrum[300:4_300].sum() > 0.98 * spectrum.sum()


def test_bursts_of_losses_are_told_from_random_ones() -> None:
    bursts, alone = Reception(), Reception()
    for number in range(1_000):
        if number % 30 not in (10, 11, 12):
            bursts.add(number, 0.02 * number, 0.02 * number)
        if number % 10 != 5:
            alone.add(number, 0.02 * number, 0.02 * number)
    assert bursts.burst_ratio == pytest.approx(3 * 0.9, rel=0.05)
    assert alone.burst_ratio == 1.0
    assert Reception().burst_ratio == 1.0


def test_what_was_repaired_does_not_count_as_lost() -> None:
    stats = {"totalSamplesReceived": 480_000, "concealedSamples": 4_800, "concealmentEvents": 5}
    assert unrepaired(stats, 960) == (0.01, 1.0)
    assert unrepaired({**stats, "concealedSamples": 0, "concealmentEvents": 0}, 960) == (0.0, 1.0)


def test_what_was_made_up_in_a_row_counts_as_a_burst() -> None:
    stats = {"totalSamplesReceived": 960_000, "concealedSamples": 28_800, "concealmentEvents": 10}
    assert unrepaired(stats, 960) == (pytest.approx(0.03), pytest.approx(3 * 0.97))
    assert unrepaired(stats, 480) == (pytest.approx(0.03), pytest.approx(6 * 0.97))
    assert rating(0, *unrepaired(stats, 960)) < rating(0, 0.03)


@pytest.mark.parametrize("started", [0.0, 0.31, 1.0])
def test_chirps_that_did_not_survive_are_missed(started: float) -> None:
    heard = chirps(10 * 48_000)[round(started * 48_000) :]
    due = chirps_due(len(heard), started)
    assert len(chirp_delays(heard, started)) == due
    heard[: len(heard) // 2] = 0
    assert len(chirp_delays(heard, started)) == pytest.approx(due / 2, abs=1)
    assert chirps_due(len(heard), started) == due


@given(st.integers(2 * 48_000, 3 * 48_000), st.floats(0, 0.22))
def test_a_chirp_that_was_under_way_at_the_end_is_not_missed(samples: int, delay: float) -> None:
    heard = np.concatenate((np.zeros(round(delay * 48_000), np.int16), chirps(5 * 48_000)))[:samples]
    assert len(chirp_delays(heard, 0.0)) == chirps_due(len(heard), 0.0)
