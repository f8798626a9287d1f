"""Two phones at any two sites of any preset place a call: far apart, at access nodes, at one site.

That every pair can be keyed is proved in the tests of the network; here are calls with all programs. The
nightly profile places more of them.
"""

from __future__ import annotations

import os
import random

import pytest

from relay.network.topology import load, presets
from scripts.demonstration.stage import Stage

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
FAR = {
    "backbone-16": ("chengdu", "xiamen"),
    "beijing-hefei": ("hefei", "beijing"),
    "hefei-metro": ("access-1-01", "access-8-19"),
}
SOUND = ("--input", "tone", "--output", "null", "--qkd", "require")


def pairs(name: str) -> list[tuple[str, str]]:
    """The far pair; one within a site too, and in the nightly profile ten more by chance."""
    sites, draw = load(name).sites, random.Random(name)
    within = [(sites[0], sites[0])] if NIGHTLY or name == "hefei-metro" else []
    more = [tuple(draw.sample(sites, 2)) for _ in range(10 if NIGHTLY and len(sites) > 2 else 0)]
    return [FAR[name], *within, *((one, other) for one, other in more)]


@pytest.mark.timeout(1800 if NIGHTLY else 120)  # twelve calls, and every program of each started in full
@pytest.mark.parametrize("name", presets())
async def test_phones_at_two_sites_place_a_call(theatre: Stage, name: str) -> None:
    await theatre.serve("--topology", name)
    for number, (one, other) in enumerate(pairs(name)):
        alice, bob = f"alice-{number}", f"bob-{number}"
        await theatre.enrol(alice, one, name)
        await theatre.enrol(bob, other, name)
        answering = await theatre.listen(bob, "--auto-answer", "--once", *SOUND)
        calling = await theatre.call(alice, bob, "--duration", "1", *SOUND)
        assert (await calling.ended(), await answering.ended()) == (0, 0), calling.account()
        qkd = (await calling.event("ended"))["security"]["qkd"]
        assert (qkd["state"], qkd["path"][0], qkd["path"][-1]) == ("present", one, other)
        assert (await answering.event("ended"))["quality"]["packetsReceived"] > 20
