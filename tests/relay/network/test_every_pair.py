"""Any two access sites of any preset can be keyed, and talk over the same fibres."""

from __future__ import annotations

import itertools
import os
import random

import pytest

from relay.network.network import Network
from relay.network.topology import load, presets

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
SAMPLE = 240
"""As many as the backbone has; the nightly profile takes all 25,122 of the metropolitan network."""


@pytest.mark.parametrize("name", presets())
def test_every_site_reaches_every_other_over_links_that_make_key(name: str) -> None:
    topology = load(name)
    for site in topology.sites:
        seen, waiting = {site}, [site]
        while waiting:
            for other, link in topology.neighbours[waiting.pop()].items():
                if other not in seen and link.quality().rate > 0:
                    seen.add(other)
                    waiting.append(other)
        assert seen >= set(topology.sites), f"{site} of {name}"


@pytest.mark.parametrize("name", presets())
def test_an_end_key_arrives_between_any_two_sites(name: str) -> None:
    topology, draw = load(name), random.Random(name)
    pairs = list(itertools.permutations(topology.sites, 2))
    # Where it is a sample, every site is in it.
    chosen = pairs if NIGHTLY or len(pairs) <= SAMPLE else draw.sample(pairs, SAMPLE)
    chosen += [(site, draw.choice([s for s in topology.sites if s != site])) for site in topology.sites]
    net = Network(topology, seed=bytes(32), now=0.0)
    for number, (source, target) in enumerate(chosen):
        key = draw.randbytes(32)
        arrived = net.relay(source, target, str(number), key, number / 10, entropy=draw.randbytes)
        assert (arrived.key, arrived.paths[0][0], arrived.paths[0][-1]) == (key, source, target)
        assert topology.hops(topology.path(source, target))
