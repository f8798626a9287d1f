"""What loss reports lead to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.protection import LIKELY_LOSS, LONGEST_LAG, LossModel, Protection
from qcall.media.xr import LossReport


def reported(received: list[bool], *, model: LossModel | None = None, begin: int = 65_000) -> LossModel:
    model = model or LossModel()
    for at in range(0, len(received), 25):
        model.report(LossReport(1, (begin + at) & 0xFFFF, tuple(received[at : at + 25])))
    return model


def random_loss(share: float, packets: int = 3_000) -> list[bool]:
    return (np.random.default_rng(2).random(packets) >= share).tolist()


def bursts(share: float, length: int, packets: int = 3_000) -> list[bool]:
    received = np.ones(packets, bool)
    for start in np.flatnonzero(np.random.default_rng(4).random(packets) < share / length):
        received[start : start + length] = False
    return received.tolist()


def test_without_loss_every_bit_is_for_the_sound() -> None:
    assert reported([True] * 1_000).protection == Protection()


def test_a_little_loss_turns_fec_on() -> None:
    protection = reported(random_loss(0.01)).protection
    assert protection.lag == 0
    assert 0.005 < protection.expected_loss < 0.02


def test_a_path_that_is_not_known_yet_is_protected() -> None:
    assert LossModel().protection == Protection(lag=1)
    assert reported([True] * 75).protection == Protection(lag=1)


@pytest.mark.parametrize("received", [random_loss(0.1), bursts(0.1, 3)])
def test_without_copies_fec_does_what_it_can(received: list[bool]) -> None:
    model = LossModel(copies=False)
    assert (model.protection.lag, model.protection.expected_loss) == (0, LIKELY_LOSS)
    protection = reported(received, model=model).protection
    assert protection.lag == 0
    assert protection.expected_loss == pytest.approx(0.1, abs=0.04)
    assert reported([True] * 5_000, model=model, begin=2_464).protection == Protection()


def test_very_much_loss_gets_both() -> None:
    protection = reported(random_loss(0.2)).protection
    assert protection.lag == 2
    assert protection.expected_loss == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_much_random_loss_sends_the_last_frame_again(share: float) -> None:
    assert reported(random_loss(share)).protection == Protection(lag=1)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_bursts_send_a_frame_from_before_the_burst(length: int) -> None:
    assert reported(bursts(0.1, length)).protection == Protection(lag=length)


def test_rare_bursts_are_covered_too() -> None:
    assert reported(bursts(0.015, 3)).protection.lag == 3


def test_one_lost_packet_is_no_burst() -> None:
    assert reported([True] * 100 + [False] + [True] * 10).protection.lag in (0, 1)


def test_protection_ends_when_loss_does() -> None:
    model = reported(random_loss(0.1))
    reported([True] * 3_000, model=model, begin=65_000 + 3_000)
    assert model.protection == Protection()


def test_protection_does_not_flutter_at_its_threshold() -> None:
    model, changes, before = LossModel(), 0, Protection(lag=1)
    for at, received in enumerate(np.random.default_rng(9).random((400, 25)) >= 0.02):
        after = model.report(LossReport(1, 25 * at & 0xFFFF, tuple(received.tolist())))
        changes += (after.lag > 0) != (before.lag > 0)
        before = after
    assert changes <= 3


def test_what_was_reported_before_counts_once() -> None:
    once, twice = LossModel(), LossModel()
    for at in range(0, 500, 25):
        report = LossReport(1, at, tuple(random_loss(0.1)[at : at + 25]))
        once.report(report)
        twice.report(report)
        twice.report(report)
    assert once.loss == twice.loss


@given(st.lists(st.tuples(st.integers(0, 65_535), st.lists(st.booleans(), max_size=60)), max_size=20))
def test_any_reports_give_a_possible_protection(given_reports: list[tuple[int, list[bool]]]) -> None:
    model = LossModel()
    for begin, received in given_reports:
        protection = model.report(LossReport(1, begin, tuple(received)))
        assert 0 <= protection.lag <= LONGEST_LAG
        assert 0 <= protection.expected_loss <= 1
        assert 0 <= model.loss <= 1
