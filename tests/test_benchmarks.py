"""Benchmarks claim nothing that they did not measure."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from relay.path.hop import Hop, Jitter
from scripts.benchmarks import path
from scripts.benchmarks.findings import Findings, Promise
from scripts.benchmarks.netem import NoNetem
from scripts.benchmarks.relay import Round, why_not
from scripts.benchmarks.turnload import PAYLOAD, End, Load, udp


def rounds(share):
    return [Round(rate=share * 1e6 / 5.0, cpu=5.0)] * 3


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (0.99, 0.97, ""),
        (0.25, 0.99, "ours used 25 %"),
        (0.99, 0.5, "coturn used 50 %"),
        (0.99, None, "no coturn"),
    ],
)
def test_figures_by_the_core_need_a_core_that_is_busy(ours, theirs, reason):
    measured = {"ours": rounds(ours)} | ({} if theirs is None else {"coturn": rounds(theirs)})
    said = why_not(measured, ("ours", "coturn"))
    assert reason in said
    assert bool(said) is bool(reason)


def test_what_was_not_measured_is_said_and_not_held(capsys):
    from rich.console import Console

    found = Findings("title", [], [Promise("one", 1.0, 2.0)], unmeasured=["another (no peer here)"])
    assert json.loads(json.dumps(found.as_json()))["not_measured"] == ["another (no peer here)"]
    found.show(Console(width=100))
    assert "not measured: another (no peer here)" in capsys.readouterr().out


def test_two_packets_of_one_burst_that_swap_places_are_seen():
    with udp() as one, udp() as other:
        load = Load([End(one, PAYLOAD), End(other, PAYLOAD)], [(0, 1)])
        pairs = [(load._ends[0], load._ends[1])]
        heads = np.zeros((3, 16), np.uint8)
        heads[:, 8:12] = np.array([0, 2, 1], "<u4").view(np.uint8).reshape(3, 4)
        out_of_order, _ = load._transits(pairs, [[(heads, np.zeros((3, 2), np.int64))]])
    assert out_of_order == 1


def test_without_netem_the_path_holds_no_promise(monkeypatch):
    def none(*_):
        raise NoNetem("no such qdisc")

    monkeypatch.setattr(path, "measure", none)

    class Options:
        packets, seed = 4000, 1

    found = path.run(Options)
    assert found.promises == []
    assert len(found.unmeasured) == len(path.cases())
    assert all("no such qdisc" in each for each in found.unmeasured)


AT_ONCE = np.zeros(1)
"""Sockets and a kernel that take no time."""


@pytest.mark.parametrize("name", path.cases())
def test_a_path_is_like_another_one_of_its_kind_and_unlike_others(name):
    pytest.importorskip("scipy")
    case = path.cases()[name]
    entered = np.cumsum(case.gaps(10_000))
    ours, same = (path.modelled(case, entered, AT_ONCE, seed) for seed in (1, 2))
    assert all(promise.held for promise in path.compare(name, case, ours, same))
    unlike = replace(case.hop, jitter=1.5 * path.JITTER, loss=0.2, processing=1e-3)
    other = path.modelled(replace(case, hop=unlike), entered, AT_ONCE, 2)
    assert not all(promise.held for promise in path.compare(name, case, ours, other))


def test_what_the_kernel_adds_is_added_to_the_model_with_its_spread():
    pytest.importorskip("scipy")
    case = path.cases()["pareto jitter, reordering"]
    entered, luck = np.cumsum(case.gaps(10_000)), np.random.default_rng(7)
    overheads = luck.gamma(2.0, 30e-6, 2000)
    bare = path.modelled(case, entered, AT_ONCE, 1)
    theirs = replace(bare, delays=bare.delays + luck.gamma(2.0, 30e-6, len(bare.delays)))
    ours = path.modelled(case, entered, overheads, 2)
    assert all(promise.held for promise in path.compare("pareto", case, ours, theirs))
    shifted = path.modelled(case, entered, np.median(overheads, keepdims=True), 2)
    assert ours.delays.std() > shifted.delays.std()


def test_tables_are_the_distributions_of_the_model():
    steps = path.tables()
    for name, shape in {"half-normal": Jitter.NORMAL, "lomax": Jitter.PARETO}.items():
        hop = Hop("hop", 0.0, processing=0.0, jitter=1.0, jitter_shape=shape)
        case = path.Case(hop, (), path.evenly, reorder=True)
        drawn = path.modelled(case, np.arange(20_000.0), AT_ONCE, 1).delays
        table = np.array(steps[name]) * path.STRETCH[name] / path.UNIT
        for share in (10, 50, 90, 99):
            assert np.percentile(table, share) == pytest.approx(np.percentile(drawn, share), rel=0.05)
