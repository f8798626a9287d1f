"""Calls of every kind of roughness at once: no sample comes out of the playout buffer without a count."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qcall.media.opus import OpusError, Samples
from qcall.media.playout import BLOCK, CAPACITY, Playout
from tests.qcall.media.test_playout import accounted

FRAMES = 150
WRAP = 2**32


class Tone:
    """A codec with frames of any length; its packets may be bad."""

    def __init__(self, frame: int) -> None:
        self._sound = (6_000 * np.sin(2 * np.pi * 100 * np.arange(frame) / 48_000)).astype(np.int16)

    def decode(self, packet: bytes) -> Samples:
        if packet[2:] == b"bad":
            raise OpusError("bad")
        return self._sound

    def recover(self, following: bytes, samples: int) -> Samples:
        return np.resize(self.decode(following), samples)

    def conceal(self, samples: int) -> Samples:
        return np.resize(self._sound, samples)


@dataclass(frozen=True)
class Road:
    """What a call has to go through. Seconds, and shares of packets."""

    frame: int
    start: int
    loss: float
    jitter: float
    fec: bool
    lag: int
    drift: float
    bad: float
    outage: bool
    held_up: float
    """Share of pulls before which the loudspeaker stands still."""
    seed: int


roads = st.builds(
    Road,
    frame=st.sampled_from([480, 960]),
    start=st.sampled_from([0, 12_345, WRAP // 960 - 20]),
    loss=st.sampled_from([0.0, 0.05, 0.2, 0.5]),
    jitter=st.sampled_from([0.0, 0.03, 0.15]),
    fec=st.booleans(),
    lag=st.sampled_from([0, 1, 3]),
    drift=st.sampled_from([0.0, 2e-4, -2e-4]),
    bad=st.sampled_from([0.0, 0.05]),
    outage=st.booleans(),
    held_up=st.sampled_from([0.0, 0.01]),
    seed=st.integers(0, 2**32),
)


def arrivals(road: Road, luck: random.Random) -> list[tuple[float, int]]:
    """When which frame comes; some come twice, and for a while perhaps none."""
    step, outage = road.frame / 48_000 * (1 + road.drift), range(60, 100) if road.outage else range(0)
    found = []
    for number in range(FRAMES):
        late = luck.expovariate(1 / road.jitter) if road.jitter else 0.0
        if number not in outage and luck.random() >= road.loss:
            found.append((number * step + late, number))
            if luck.random() < 0.05:
                found.append((number * step + late + 0.1 * luck.random(), number))
    return sorted(found)


@given(roads)
@settings(max_examples=60)
def test_every_sample_of_a_rough_call_is_accounted_for(road: Road) -> None:
    luck = random.Random(road.seed)
    playout, due, now = Playout(Tone(road.frame)), arrivals(road, luck), 0.0
    first: int | None = None

    def packet(number: int) -> bytes:
        head = bytes([9 << 3, 0x40 * road.fec])
        return head + (b"bad" if luck.random() < road.bad else number.to_bytes(4, "big"))

    while now < FRAMES * road.frame / 48_000 + 1:
        while due and due[0][0] <= now:
            at, number = due.pop(0)
            if 0 < road.lag <= number:
                older = number - road.lag
                playout.push((road.start + older) * road.frame % WRAP, packet(older), at, repeated=True)
            playout.push((road.start + number) * road.frame % WRAP, packet(number), at)
        begins = None if playout.started else min(playout._packets, default=None)
        assert len(playout.pull(now)) == BLOCK
        if first is None and playout.started:
            first = begins
        assert len(playout._packets) <= CAPACITY
        now += 0.01
        if luck.random() < road.held_up:
            now += luck.choice([0.05, 0.15, 0.3, 1.8])
    accounted(playout, first)
