"""Several media workers, seen as one."""

from __future__ import annotations

from collections import Counter

from relay.media import Report, together
from relay.turn.counters import Counters

HOP = {"from": "beijing", "to": "hefei", "hop": "beijing–langfang"}
PATH = {"from": "beijing", "to": "hefei", "km": 1031.0, "delay_ms": 5.8}


def report(*, busy: float = 0.25, full: bool = False, passed: int = 3) -> Report:
    """What one worker says."""
    return Report(
        counters=Counters(
            client_packets_in=5,
            drops=Counter({"lost-on-path": 2}),
            errors=Counter({508: 1}),
            release_errors=[1, *[0] * 8],
        ),
        busy=busy,
        full=full,
        flows=2,
        paths=[{**PATH, "loss_runs": {"1": 2}}],
        hops=[{**HOP, "passed": passed, "lost": 1, "dropped": 0}],
    )


def test_a_report_survives_the_way_to_another_process() -> None:
    assert Report.from_json(report().as_json()) == report()


def test_counts_add_up_and_shares_are_averaged() -> None:
    both = together([report(busy=0.2), report(busy=0.4)])
    assert both.counters.client_packets_in == 10
    assert both.counters.drops == {"lost-on-path": 4}
    assert both.counters.errors == {508: 2}
    assert both.counters.release_errors[0] == 2
    assert both.busy == 0.30000000000000004
    assert both.flows == 4


def test_rows_of_the_same_path_and_hop_are_one() -> None:
    own = [{**HOP, "passed": 1, "lost": 0, "dropped": 0}]
    both = together([report(passed=3), report(passed=4)], hops=own)
    assert both.hops == [{**HOP, "passed": 8, "lost": 2, "dropped": 0}]
    assert both.paths == [{**PATH, "loss_runs": {"1": 4}}]


def test_they_are_full_when_all_are() -> None:
    assert not together([report(full=True), report()]).full
    assert together([report(full=True), report(full=True)]).full
    assert together([]).full
