"""The playout buffer, with a codec whose frames can be told apart."""

from __future__ import annotations

import functools
import os
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.opus import Decoder, Encoder, OpusError, Samples
from qcall.media.playout import BLOCK, CAPACITY, FADE_UNTIL, Loudness, Playout, Unwrapper

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
SPEECH = Path(__file__).parents[2] / "data/speech"

FRAME = 960
STEP = 0.02
CONCEALED = -1


class NumberedFrames:
    """A codec whose packets hold a number and whose sound is that number in every sample.

    Its packets look to ``carries_fec`` like Opus packets with or without redundancy.
    """

    def decode(self, packet: bytes) -> Samples:
        if packet[2:] == b"bad":
            raise OpusError("bad")
        return np.full(FRAME, self.number(packet), np.int16)

    def recover(self, following: bytes, samples: int) -> Samples:
        return np.full(samples, self.number(following) - 1, np.int16)

    def conceal(self, samples: int) -> Samples:
        return np.full(samples, CONCEALED, np.int16)

    @staticmethod
    def number(packet: bytes) -> int:
        return int.from_bytes(packet[2:], "big")


def packet(number: int, *, fec: bool = False) -> bytes:
    return bytes([9 << 3, 0x40 if fec else 0]) + number.to_bytes(2, "big")


def new(target: float = 0.02) -> Playout:
    return Playout(NumberedFrames(), initial=target, adaptive=False)


def play(
    playout: Playout, arrivals: list[tuple[float, int]], until: float, *, fec: bool = False
) -> list[int]:
    """What is heard every 10 ms when packets arrive at these times; the value of each block's samples."""
    heard = []
    queue = sorted(arrivals)
    for tick in range(round(until * 100)):
        now = tick / 100 + 0.003
        while queue and queue[0][0] <= now:
            at, number = queue.pop(0)
            playout.push(number * FRAME, packet(number, fec=fec), at)
        block = playout.pull(now)
        assert len(block) == BLOCK
        heard += [int(block[0]), int(block[-1])]
    return heard


def steady(count: int, *, first: int = 1) -> list[tuple[float, int]]:
    return [((number - first) * STEP, number) for number in range(first, first + count)]


def halves(*numbers: int) -> list[int]:
    """Every frame is heard as two blocks, of which ``play`` returns two samples each."""
    return [number for number in numbers for _ in range(4)]


def test_nothing_is_heard_before_the_first_packet() -> None:
    playout = new()
    assert not playout.pull(1.0).any()
    assert not playout.started


def test_frames_are_heard_in_order_and_whole() -> None:
    heard = play(new(), steady(50), 1.0)
    start = heard.index(1)
    assert heard[start:] == halves(*range(1, 51))[: len(heard) - start]


def test_the_first_frame_waits_for_the_target_and_no_longer() -> None:
    for target in (0.0, 0.02, 0.06):
        heard = play(new(target), steady(20), 0.3)
        assert abs(heard.index(1) / 2 / 100 - target) <= 0.011


def test_swapped_neighbours_are_put_in_order() -> None:
    arrivals = [(0.0, 1), (0.021, 3), (0.022, 2), (0.06, 4), (0.08, 5)]
    heard = play(new(0.03), arrivals, 0.15)
    start = heard.index(1)
    assert heard[start : start + 20] == halves(1, 2, 3, 4, 5)


def test_a_duplicate_is_heard_once() -> None:
    playout = new()
    heard = play(playout, steady(20) + [(at + 0.001, number) for at, number in steady(20)], 0.4)
    assert heard.count(7) == 4
    assert playout.counts.packets_duplicated + playout.counts.packets_discarded == 20


def test_a_lost_frame_comes_from_the_next_packet() -> None:
    playout = new(0.04)
    heard = play(playout, [a for a in steady(20) if a[1] != 7], 0.4, fec=True)
    assert heard.count(7) == 4
    assert playout.counts.fec_recovered == FRAME
    assert playout.counts.concealed == 0


def test_redundancy_that_comes_late_fills_what_is_left_of_the_gap() -> None:
    playout = new(0.01)
    heard = play(playout, [a for a in steady(20) if a[1] != 7], 0.38, fec=True)
    start = heard.index(6)
    assert heard[start : start + 12] == [6] * 4 + [CONCEALED] * 2 + [7] * 2 + [8] * 4


def test_a_lost_frame_without_redundancy_is_concealed() -> None:
    playout = new(0.04)
    heard = play(playout, [a for a in steady(20) if a[1] != 7], 0.4)
    assert heard.count(CONCEALED) == 4
    assert (playout.counts.concealed, playout.counts.concealment_events) == (FRAME, 1)
    assert playout.counts.inserted == 0


def test_a_burst_of_losses_does_not_move_the_timeline() -> None:
    playout = new(0.04)
    heard = play(playout, [a for a in steady(30) if a[1] not in (7, 8, 9)], 0.6)
    before, after = heard.index(6), heard.index(10)
    assert after - before == 4 * 4
    assert playout.counts.inserted == 0


def test_a_late_frame_is_still_heard_when_nothing_came_after_it() -> None:
    playout = new(0.02)
    arrivals = [(at + (0.05 if number >= 7 else 0), number) for at, number in steady(20)]
    heard = play(playout, arrivals, 0.6)
    assert heard.count(7) == 4
    assert playout.counts.stood_still > 0


def test_what_comes_after_its_turn_is_discarded() -> None:
    playout = new(0.02)
    arrivals = [(at + (0.1 if number == 7 else 0), number) for at, number in steady(20)]
    heard = play(playout, arrivals, 0.5)
    assert heard.count(7) == 0
    assert playout.counts.packets_discarded == 1


def test_long_concealment_fades_to_silence() -> None:
    class Loud(NumberedFrames):
        def conceal(self, samples: int) -> Samples:
            return np.full(samples, 10_000, np.int16)

    playout = Playout(Loud(), initial=0.0, adaptive=False)
    playout.push(0, packet(1), 0.0)
    peaks = [int(playout.pull(tick / 100).max()) for tick in range(40)]
    assert peaks[2] == 10_000
    assert peaks[2:] == sorted(peaks[2:], reverse=True)
    assert not any(peaks[2 + FADE_UNTIL // BLOCK :])
    assert playout.counts.silent_concealed > 0


def test_an_undecodable_packet_is_concealed() -> None:
    playout = new(0.0)
    playout.push(0, packet(1), 0.0)
    playout.push(FRAME, b"\x48\x00bad", 0.0)
    playout.push(2 * FRAME, packet(3), 0.0)
    heard = [int(playout.pull(0.01 * tick)[0]) for tick in range(6)]
    assert heard == [1, 1, CONCEALED, CONCEALED, 3, 3]
    assert playout.counts.undecodable == 1


def test_a_jump_of_the_far_clock_is_followed() -> None:
    playout = new(0.0)
    playout.push(0, packet(1), 0.0)
    playout.push(48_000 * 3600, packet(2), 0.02)
    assert [int(playout.pull(0.02 + 0.01 * tick)[0]) for tick in range(4)] == [1, 1, 2, 2]


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=30))
def test_wrapped_counters_are_extended(first: int, steps: list[int]) -> None:
    unwrapper = Unwrapper(32)
    true = first
    assert unwrapper.unwrap(first) == first
    for step in steps:
        true += step
        assert unwrapper.unwrap(true % 2**32) == true


arrival_orders = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0, 0.3), st.booleans()), min_size=1, max_size=80
)


@given(arrival_orders, st.floats(0, 0.1), st.integers(0, 2**32 - 1))
def test_any_arrivals_play_without_repeats_and_within_bounds(
    arrivals: list[tuple[int, float, bool]], target: float, base: int
) -> None:
    playout = new(target)
    queue = sorted((number * STEP + late, number, fec) for number, late, fec in arrivals)
    heard: list[int] = []
    for tick in range(200):
        now = tick / 100
        while queue and queue[0][0] <= now:
            at, number, fec = queue.pop(0)
            playout.push((base + number * FRAME) % 2**32, packet(number, fec=fec), at)
        heard += playout.pull(now).tolist()
        assert len(playout._packets) <= CAPACITY
        assert len(playout._pending) < FRAME + BLOCK
    real = [value for value in heard if value > 0]
    assert real == sorted(real), "time never runs backwards"
    assert all(real.count(number) <= FRAME for number in set(real)), "no frame is heard twice"
    counts = playout.counts
    made_up = sum(value == CONCEALED for value in heard)
    assert made_up <= counts.concealed
    assert len(real) <= counts.emitted + counts.fec_recovered
    assert counts.emitted // FRAME + counts.packets_discarded + counts.packets_duplicated + len(
        playout._packets
    ) == len(arrivals)


class Hum:
    """A codec whose sound is a steady hum, wherever it comes from: it can be stretched, and costs little."""

    def __init__(self) -> None:
        self._hum = (6_000 * np.sin(2 * np.pi * 100 * np.arange(FRAME) / 48_000)).astype(np.int16)

    def decode(self, packet: bytes) -> Samples:
        return self._hum

    def recover(self, following: bytes, samples: int) -> Samples:
        return self._hum[:samples]

    def conceal(self, samples: int) -> Samples:
        return self._hum[:samples]


def accounted(playout: Playout, first: int | None) -> None:
    """Every sample that came out has a cause that is counted, and so has every step of the timeline."""
    if first is None:
        assert not playout.started
        return
    counts = playout.counts
    made = counts.emitted + counts.fec_recovered + counts.concealed + counts.inserted - counts.removed
    assert made == counts.total_samples + len(playout._pending)
    assert playout._position is not None
    standing = counts.stood_still + playout._standing
    moved = counts.emitted + counts.fec_recovered + counts.concealed - standing + counts.skipped
    assert playout._position - first == moved


Trace = list[tuple[float, float, float]]


def run(
    arrivals: list[tuple[float, int]], until: float, *, fec: bool = True, start: int = 0
) -> tuple[Playout, Trace, int | None]:
    """Play hum, whose frame 0 is ``start`` frames on; also (time, delay, target), and where it all began."""
    playout, trace, first = Playout(Hum()), [], None
    queue = iter(sorted(arrivals))
    upcoming = next(queue, None)
    for tick in range(round(until * 100)):
        now = tick / 100 + 0.004
        while upcoming is not None and upcoming[0] <= now:
            number = start + upcoming[1]
            playout.push(number * FRAME % 2**32, packet(number & 0xFFFF, fec=fec), upcoming[0])
            upcoming = next(queue, None)
        begins = None if playout.started else min(playout._packets, default=None)
        playout.pull(now)
        first = begins if first is None and playout.started else first
        trace.append((now, playout.delay, playout.target))
    return playout, trace, first


WRAP = 2**32 // FRAME
"""The frame in which timestamps begin anew."""


@given(arrival_orders, st.booleans(), st.sampled_from([0, WRAP - 20, WRAP - 1, WRAP]))
def test_nothing_is_repeated_or_skipped_without_a_count(
    arrivals: list[tuple[int, float, bool]], fec: bool, start: int
) -> None:
    times = [(number * STEP + late, number) for number, late, _ in arrivals]
    playout, _, first = run(times, 2.0, fec=fec, start=start)
    accounted(playout, first)


def test_after_a_stall_the_delay_is_back_in_three_seconds() -> None:
    stalled = [(max(at, 10.5) if at >= 10 else at, number) for at, number in steady(1_000)]
    playout, trace, _ = run(stalled, 20.0)
    assert max(delay for _, delay, _ in trace) > 0.45
    back = [(delay, target) for now, delay, target in trace if now > 13.5]
    assert all(delay - target < 0.04 for delay, target in back)
    assert playout.counts.packets_discarded == 0
    assert playout.counts.removed > 0.4 * 48_000


@functools.cache
def speech_packets(speaker: str) -> list[bytes]:
    """A speaker's phrases, coded, with noise in the background."""
    with wave.open(str(SPEECH / f"{speaker}_harvard_phrases.wav")) as file:
        spoken = np.frombuffer(file.readframes(10**9), np.int16)
    noisy = spoken + np.random.default_rng(5).normal(0, 60, len(spoken))
    noisy, encoder = np.clip(noisy, -32_768, 32_767).astype(np.int16), Encoder()
    return [encoder.encode(noisy[at : at + FRAME]) for at in range(0, len(noisy) - FRAME, FRAME)]


@pytest.mark.parametrize("speaker", ["F1", "M1"])
@pytest.mark.parametrize("stall", [4.0, 6.65, 9.3])
def test_after_a_stall_in_speech_the_delay_is_back_in_three_seconds(speaker: str, stall: float) -> None:
    playout, packets, off = Playout(Decoder()), speech_packets(speaker), list[float]()
    due = [
        (0.02 * number if not stall <= 0.02 * number < stall + 0.5 else stall + 0.5, number)
        for number in range(round((stall + 4.5) / 0.02))
    ]
    for tick in range(round(100 * (stall + 4.5))):
        now = tick / 100 + 0.004
        while due and due[0][0] <= now:
            at, number = due.pop(0)
            playout.push(number * FRAME, packets[number % len(packets)], at)
        playout.pull(now)
        if now > stall + 0.5 + 3:
            off.append(playout.delay - playout.target)
    assert max(off) < 0.04


def test_jitter_is_played_at_the_target() -> None:
    draws = np.random.default_rng(11).exponential(0.03, 3_000)
    jittered = [(at + late, number) for (at, number), late in zip(steady(3_000), draws, strict=True)]
    playout, trace, _ = run(jittered, 60.0)
    off = [abs(delay - target) for now, delay, target in trace if now > 5]
    assert np.median(off) < 0.02
    assert playout.counts.concealed < 0.02 * playout.counts.total_samples


@pytest.mark.parametrize(("drift", "start"), [(2e-4, WRAP - 90_000), (-2e-4, 0)])
def test_clock_drift_is_followed_for_as_long_as_a_call_lasts(drift: float, start: int) -> None:
    """An hour in the nightly profile, ten minutes by day."""
    seconds = 3_600 if NIGHTLY else 600
    arrivals = [(at * (1 + drift), number) for at, number in steady(seconds * 50)]
    playout, trace, first = run(arrivals, float(seconds), start=start)
    assert max(delay - target for now, delay, target in trace if now > 1) < 0.03
    assert min(delay - target for now, delay, target in trace if now > 1) > -0.02
    counts = playout.counts
    drifted = abs(drift) * seconds * 48_000
    changed = counts.inserted + counts.stood_still - counts.removed
    assert abs(changed - np.sign(drift) * drifted) < 0.05 * 48_000
    assert len(playout._packets) <= 3
    assert len(playout._seen) <= CAPACITY
    accounted(playout, first)


def test_a_long_gap_ends_in_the_background_that_was_heard_before() -> None:
    background = np.random.default_rng(6).normal(0, 25, 48_000).astype(np.int16)

    class Room(NumberedFrames):
        def decode(self, packet: bytes) -> Samples:
            start = FRAME * (self.number(packet) % 49)
            return background[start : start + FRAME]

        def conceal(self, samples: int) -> Samples:
            return np.full(samples, 9_000, np.int16)

    playout, blocks = Playout(Room(), initial=0.01), []
    for tick in range(300):
        now = tick / 100
        if tick % 2 == 0 and tick < 200:
            playout.push(tick // 2 * FRAME, packet(tick // 2), now)
        blocks.append(playout.pull(now).astype(float))
    gap = np.concatenate(blocks[250:])
    assert np.sqrt(np.mean(gap**2)) == pytest.approx(25, rel=0.25)


def test_a_loudspeaker_that_stood_still_does_not_leave_its_delay_behind() -> None:
    playout, delays = Playout(Hum()), []
    for tick in range(1_000):
        now = tick / 100
        if tick % 2 == 0:
            playout.push(tick // 2 * FRAME, packet(tick // 2), now)
        if not 300 <= tick < 480:
            playout.pull(now + 0.004)
            delays.append(playout.delay)
    assert max(delays) < 0.05
    assert playout.counts.skipped == pytest.approx(1.8 * 48_000, abs=2 * FRAME)
    accounted(playout, 0)


@pytest.mark.parametrize("first", [10, 180, 250])
def test_a_loudspeaker_that_began_late_does_not_begin_with_what_is_old(first: int) -> None:
    playout = Playout(Hum())
    for tick in range(1_000):
        now = tick / 100
        if tick % 2 == 0:
            playout.push(tick // 2 * FRAME, packet(tick // 2), now)
        if tick >= first:
            playout.pull(now + 0.004)
            assert playout.delay < (0.05 if first >= 180 else 0.15)
    assert playout.delay < 0.05
    dropped = first / 2 if first >= 180 else 0
    assert playout.counts.packets_discarded == pytest.approx(dropped, abs=2)
    accounted(playout, max(0, first // 2 + 1 - CAPACITY) * FRAME)


@pytest.mark.parametrize(("configuration", "waits"), [(9, True), (13, False), (31, False)])
def test_a_loss_in_silence_makes_room_for_the_repair_of_the_next(configuration: int, waits: bool) -> None:
    playout = Playout(Hum())
    for number in range(100):
        now = number * STEP
        if number != 50:
            playout.push(number * FRAME, bytes([configuration << 3]) + packet(number)[1:], now)
        for later in (0.004, 0.014):
            playout.pull(now + later)
    assert (playout.target >= STEP) == waits


def test_the_background_is_known_again_soon_after_digital_silence() -> None:
    loudness, noise = Loudness(), np.random.default_rng(2).normal(0, 60, (250, FRAME)).astype(np.int16)
    for _ in range(500):
        loudness.is_background(np.zeros(FRAME, np.int16))
    known = [loudness.is_background(sound) for sound in noise]
    assert all(known[200:]), "within four seconds"
