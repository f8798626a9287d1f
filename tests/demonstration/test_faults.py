"""What the demonstration of faults says of the voice."""

from __future__ import annotations

from scripts.demonstration.faults import heard, lost_to, voice
from scripts.demonstration.stage import Event


def status(*hops: tuple[str, str, str, int, int]) -> Event:
    """Counters of hops: from, to, name, packets passed and lost."""
    names = ("from", "to", "hop", "passed", "lost")
    return {"hops": [dict(zip(names, hop, strict=True)) for hop in hops]}


def test_what_a_cut_lost_is_told_by_whom_it_was_on_the_way_to() -> None:
    there, back = ("beijing", "hefei"), ("hefei", "beijing")
    before = status((*there, "x–y", 100, 1), (*back, "y–x", 90, 2))
    after = status((*there, "x–y", 100, 4), (*back, "y–x", 90, 6), (*there, "x–z", 5, 0))
    now = status((*there, "x–y", 100, 4), (*back, "y–x", 90, 6), (*there, "x–z", 9, 0))
    assert voice(before, after, now) == "goes over 1 hops; packets lost: 4 to alice, 3 to bob"
    assert lost_to(now, "beijing") == 6


def test_what_a_phone_missed_is_told_beside_what_was_lost_on_the_way_to_it() -> None:
    quality = {"packetsLost": 3, "packetsExpected": 1871, "mos": 4.39}
    said = heard("alice", quality, 4)
    assert said == "lost to alice: 3 of 1871 packets of voice; by the fibres 4, RTCP among them; MOS 4.39"
