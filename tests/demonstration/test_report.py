"""What the demonstration says when it has not proved what it set out to."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from scripts.demonstration.faults import SPY, Step, Trial
from scripts.demonstration.hearing import Hearing
from scripts.demonstration.report import BUSY, Attack, Failure, Result, show_verdict

GOOD = (
    Attack((), False, 500, 3, 0),
    Attack(("classical", "mlkem"), True, 500, 3, 0),
    Attack(("classical", "mlkem"), False, 500, 3, 500),
)


def result(alice: float = 0.99, bob: float = 0.99, attacks: tuple[Attack, ...] = GOOD) -> Result:
    heard = [Hearing(np.array([likeness]), np.array([0.1])) for likeness in (bob, alice)]
    return Result({}, {}, {}, {}, *heard, attacks, 20.0)


def verdict(failures: list[Failure]) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_verdict("All is well.", failures, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_result_without_a_failure_is_proved() -> None:
    assert result().proved
    assert verdict(result().failures) == "All is well.\n"


def test_a_likeness_that_is_too_low_is_named_and_laid_to_a_busy_machine() -> None:
    said = verdict(result(bob=0.853).failures)
    assert "NOT PROVED" in said
    assert "likeness of what bob heard to what was said: 0.853, must be above 0.9\n" in said
    assert "alice" not in said
    assert BUSY in said


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (
            Attack((), False, 500, 3, 2),
            "packets opened with no layer broken, every QKD key stolen: 2 of 500, must be 0",
        ),
        (
            Attack(("classical", "mlkem"), True, 500, 3, 1),
            "packets opened with X25519 and ML-KEM broken, no QKD key: 1 of 500, must be 0",
        ),
        (
            Attack(("classical", "mlkem"), False, 500, 3, 499),
            "every QKD key stolen: 499 of 500, must be 500, as the control",
        ),
        (Attack((), False, 0, 3, 0), "none was recorded, must be more than none"),
    ],
)
def test_an_attack_that_did_not_go_as_it_should_is_named_and_excused_by_nothing(
    attack: Attack, said: str
) -> None:
    failures = result(alice=0.5, attacks=(attack,)).failures
    assert said in verdict(failures)
    assert "likeness of what alice heard" in verdict(failures)
    assert BUSY not in verdict(failures)


def test_every_check_of_the_faults_that_failed_is_named() -> None:
    steps = [Step("cut", "keys", "voice", 1.0)] * 5
    assert Trial(steps, 4, 2, [("spy", 0, 900), ("control", 12, 900)]).proved
    said = verdict(Trial(steps[:4], 0, 0, [("spy", 3, 900), ("control", 0, 900)]).failures)
    for each in (
        "steps that came about: 4, must be 5",
        f"end keys that {SPY} wrote down: 0, must be above 0",
        "packets that the spy opened: 3 of 900, must be 0",
        "packets that the control opened: 0 of 900, must be above 0",
    ):
        assert each in said
