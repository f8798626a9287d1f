"""The decoy-state formulas against published figures, and their shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.network.physics import PRESETS, QBER_ALARM, Optics, binary_entropy, quality

GYS = Optics(
    clock=2e6, detector_efficiency=0.045, attenuation=0.21, dark_counts=1.7e-6, misalignment=0.033,
    correction=1.22, signal=0.48, decoy=0.05,
)  # fmt: skip
"""Gobby, Yuan and Shields (2004), the experiment that the decoy-state paper evaluates."""

optics = st.sampled_from([*PRESETS.values(), GYS])
lengths = st.floats(0, 400)
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("preset", "km", "kilobits"),
    [("field", 20, 76.5), ("field", 50, 19.1), ("field", 70, 7.5), ("field", 100, 1.8),
     ("ghz", 20, 3840), ("ghz", 50, 958), ("ghz", 70, 378), ("ghz", 100, 92)],
)  # fmt: skip
def test_presets_yield_what_the_design_says(preset: str, km: float, kilobits: float) -> None:
    assert quality(PRESETS[preset], km).rate / 1000 == pytest.approx(kilobits, rel=0.005, abs=0.05)


def test_the_published_experiment_ends_at_about_140_km() -> None:
    assert quality(GYS, 140).rate > 0
    assert quality(GYS, 142).rate == 0


def test_full_intercept_resend_shows_a_quarter_of_errors() -> None:
    assert quality(PRESETS["field"], 70, eve=1).qber == pytest.approx(0.258, abs=0.001)


def test_the_rate_is_gone_long_before_the_textbook_alarm() -> None:
    at = quality(PRESETS["field"], 70, eve=0.19)
    assert at.rate == 0
    assert 0.05 < at.qber < 0.07
    assert not at.alarm


def test_half_the_pulses_intercepted_raise_the_alarm() -> None:
    assert quality(PRESETS["field"], 70, eve=0.5).alarm
    assert quality(PRESETS["field"], 70, eve=0.5).qber > QBER_ALARM


@given(optics, lengths, st.floats(0, 100), shares)
def test_rate_falls_and_error_rises_with_length(kit: Optics, km: float, more: float, eve: float) -> None:
    near, far = quality(kit, km, eve=eve), quality(kit, km + more, eve=eve)
    assert far.rate <= near.rate * (1 + 1e-9)
    assert far.qber >= near.qber * (1 - 1e-9)


@given(optics, lengths, st.floats(0, 60), shares)
def test_a_decibel_is_a_decibel_wherever_it_is_lost(kit: Optics, km: float, extra: float, eve: float) -> None:
    with_splice = quality(kit, km, extra_loss=extra, eve=eve)
    with_fibre = quality(kit, km + extra / kit.attenuation, eve=eve)
    assert with_splice.rate == pytest.approx(with_fibre.rate, rel=1e-6, abs=1e-6)


@given(optics, lengths, shares, shares)
def test_more_eavesdropping_never_helps(kit: Optics, km: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert quality(kit, km, eve=more).rate <= quality(kit, km, eve=less).rate * (1 + 1e-9)


@given(optics, st.floats(0, 2000), shares)
def test_no_rate_is_negative_and_no_error_above_one_half(kit: Optics, km: float, eve: float) -> None:
    at = quality(kit, km, eve=eve)
    assert at.rate >= 0
    assert 0 <= at.qber <= 0.5


@given(optics, st.floats(260, 5000))
def test_past_the_cut_off_there_is_no_key(kit: Optics, km: float) -> None:
    assert quality(kit, km).rate == 0


@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_at_most_one_bit(p: float) -> None:
    assert 0 <= binary_entropy(p) <= 1
    assert binary_entropy(p) == pytest.approx(binary_entropy(1 - p), abs=1e-9)


@pytest.mark.parametrize(("km", "extra", "eve"), [(-1, 0, 0), (1, -1, 0), (1, 0, 1.1), (1, 0, -0.1)])
def test_nonsense_is_refused(km: float, extra: float, eve: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        quality(PRESETS["field"], km, extra_loss=extra, eve=eve)
