"""What `scripts/bench quality` makes of its rows."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from qcall.media.quality import BEST_RATING, opinion_score
from scripts.benchmarks.calls import payload_bytes, until_the_last
from scripts.benchmarks.quality import MUST, SWEEP, Condition, conclude, fit
from scripts.benchmarks.virtual_call import VirtualCall

BPL = 9.0


def row(condition: Condition, left: float, pesq: float, doubts: tuple[str, ...] = ()) -> dict[str, Any]:
    named = {"kind": condition.kind, "path": condition.name, "kb/s": 66.0, "lost %": 30.0}
    return {**named, "left %": left, "left burst": 1.0, "PESQ": pesq, "doubts": list(doubts)}


def pesq(left: float, bpl: float = BPL) -> float:
    return opinion_score(BEST_RATING - 95 * left / (left + bpl))


def found(*doubts: str) -> Any:
    options = argparse.Namespace(parallel=1, bitrate=32_000, only="must", virtual=True)
    wanted = [*MUST, *(each for each in SWEEP if each.kind == "burst")]
    rows = [
        row(each, float(number), pesq(number) if each.kind == "loss" else 1.0, doubts)
        for number, each in enumerate(wanted)
    ]
    return conclude(options, wanted, rows, {})


def test_the_fit_finds_the_constant_out_of_what_repair_left() -> None:
    rows = [row(MUST[0], left, pesq(left)) for left in (0.0, 0.5, 1.0, 3.0)]
    assert fit(rows) == {"fitted_Bpl": BPL, "error_of_the_fit": 0.0}


def test_bursts_take_no_part_in_the_fit_and_tell_its_error() -> None:
    told = found().details["e_model"]
    assert told["fitted_Bpl"] == BPL
    assert told["error_on_bursts"] > 1


def test_promises_name_the_rate_that_was_sent() -> None:
    assert "66 kb/s sent" in str(found().promises[0])


def test_a_doubt_spoils_the_run() -> None:
    assert found().spoiled == []
    assert "loss 0 %: too early" in found("too early").spoiled


def test_the_rate_counts_copies_and_no_headers() -> None:
    assert payload_bytes(bytes([0x80]) + bytes(11 + 80)) == 80
    assert payload_bytes(bytes([0x92]) + bytes(11 + 8) + bytes([0xBE, 0xDE, 0, 1]) + bytes(4 + 80)) == 80


def test_packets_to_a_phone_that_hung_up_are_not_lost() -> None:
    assert until_the_last([0.1, None, 0.2, None, None]) == [0.1, None, 0.2]
    assert until_the_last([None, None]) == []


@pytest.mark.parametrize(("loss", "kilobits"), [(0.0, (31, 40)), (0.1, (62, 68))])
def test_what_is_sent_doubles_where_losses_are_answered_with_copies(
    loss: float, kilobits: tuple[int, int], program: Any
) -> None:
    asked = {"topology": "beijing-hefei", "burst": 1, "jitter": None, "seed": 1, "bitrate": 32_000}
    call = VirtualCall(loss=loss, copies=True, **asked)
    outcome = call.run(program)
    assert kilobits[0] < 8 * outcome.sent / 1000 < kilobits[1]
    missed = outcome.stats["packetsLost"] / len(outcome.fates)
    assert missed == pytest.approx(
        sum(fate is None for fate in outcome.fates) / len(outcome.fates), abs=0.005
    )


@pytest.fixture(scope="module")
def program() -> Any:
    from scripts.benchmarks.quality import Program

    return Program(1).sound
