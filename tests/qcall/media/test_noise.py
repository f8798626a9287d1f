"""Comfort noise is like the background it was learned from."""

from __future__ import annotations

import numpy as np
import pytest

from qcall.media.noise import FRAME, ComfortNoise
from qcall.media.opus import Samples


def hum(level: float, samples: int = 48_000) -> Samples:
    """Low-pass noise of this root mean square, as of a fan."""
    white = np.random.default_rng(8).normal(0, 1, samples)
    brown = np.convolve(white, np.ones(40) / 40, "same")
    return (level * brown / brown.std()).astype(np.int16)


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound.astype(float) ** 2)))


@pytest.mark.parametrize("level", [20, 200, 1_000])
def test_noise_is_as_loud_as_the_background(level: float) -> None:
    noise = ComfortNoise()
    noise.learn(hum(level))
    assert rms(noise.make(48_000)) == pytest.approx(level, rel=0.2)


def test_noise_has_the_colour_of_the_background() -> None:
    noise, background = ComfortNoise(), hum(500)
    noise.learn(background)

    def low_share(sound: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(sound.astype(float))) ** 2
        return float(spectrum[: len(spectrum) // 20].sum() / spectrum.sum())

    assert low_share(noise.make(48_000)) == pytest.approx(low_share(background), abs=0.1)


def test_noise_does_not_repeat_and_has_no_seams() -> None:
    noise = ComfortNoise()
    noise.learn(hum(500))
    made = np.concatenate([noise.make(480) for _ in range(100)])
    lags = np.correlate(made[: 10 * FRAME], made[: 2 * FRAME], "valid")[FRAME:]
    assert np.abs(lags).max() < 0.6 * float(made[: 2 * FRAME] @ made[: 2 * FRAME])
    steps = np.abs(np.diff(made))
    assert steps[479::480].max() <= steps.max()
    assert rms(made[:480]) < 3 * rms(made)


def test_nothing_learned_is_silence() -> None:
    noise = ComfortNoise()
    noise.learn(hum(500)[: FRAME - 1])
    assert not noise.make(4_800).any()


def test_the_background_is_followed() -> None:
    noise = ComfortNoise()
    noise.learn(hum(1_000))
    noise.learn(hum(100, 2 * 48_000))
    assert rms(noise.make(48_000)) == pytest.approx(100, rel=0.3)
