"""``scripts/demo`` in short: who owns the relay opens nothing, who is given all layers opens everything."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from scripts.demonstration.recording import Recording
from scripts.demonstration.stage import Stage
from tests.e2e.real_time import REAL_TIME

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"


@REAL_TIME
async def test_the_attacker_opens_nothing_unless_given_everything(theatre: Stage, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = (sys.executable, "-m", "scripts.demonstration", "--json", "--seconds", "3", "--keep", kept)
    demonstration = await theatre.start("demonstration", *command)
    assert await demonstration.ended(limit=60) == 0, demonstration.account()
    (result,) = demonstration.events
    *attacks, control = result["attacks"]
    assert control["opened"] == control["packets"] > 200
    assert [attack["opened"] for attack in attacks] == [0, 0, 0, 0]

    # What was attacked is what the call used: its quantum key was among the stolen ones.
    recording = Recording.load(kept / "recording.jsonl")
    assert set(result["security"]["qkd"]["key_ids"]) <= set(recording.end_keys)
    assert len(recording.signalling) >= 4
    assert recording.kinds["kme"] >= 4


@REAL_TIME
@pytest.mark.skipif(not NIGHTLY, reason="a call of 45 s through every fault: in the nightly profile")
async def test_a_call_goes_on_through_every_fault_and_a_spy_opens_nothing(theatre: Stage) -> None:
    command = (sys.executable, "-m", "scripts.demonstration", "--faults", "--json")
    demonstration = await theatre.start("demonstration", *command)
    assert await demonstration.ended(limit=110) == 0, demonstration.account()
    (result,) = demonstration.events
    assert result["proved"] is True
    assert len(result["steps"]) == 5
    assert "ALARM" in result["steps"][1]["keys"]
    mended = result["steps"][2]
    assert "all well; way of 15 hops" in mended["keys"]
    assert "QKD ✓ 15 hops" in mended["keys"]
    assert "goes over 15 hops" in mended["voice"]
    for name, quality in result["quality"].items():
        told = [int(re.search(rf"(\d+) to {name}", step["voice"])[1]) for step in result["steps"]]
        assert quality["packetsLost"] <= sum(told) == result["lost_by_fibres"][name]
    assert result["compromised"]["of_this_call"] > 0
    spy, control = result["attacks"]
    assert spy["opened"] == 0 < control["opened"] <= control["packets"]
