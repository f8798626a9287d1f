"""A microphone whose card stalls, in virtual time: what is said keeps its place in time."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterable
from typing import Any

import numpy as np
import pytest

from qcall.media import soundcard
from qcall.media.playout import BLOCK, SILENCE
from qcall.media.soundcard import PATIENCE, Captured, Microphone

PERIOD = 0.01


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to whatever is due next."""

    def __init__(self) -> None:
        self.now = 1_000.0
        super().__init__(Jumping(self))

    def time(self) -> float:
        return self.now


class Jumping(selectors.DefaultSelector):
    """Instead of waiting, moves the clock of ``loop``."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is due, and everything waits"
        self._loop.now += max(0.0, timeout)
        return super().select(0)


class StubCard:
    """A card that is open, by name."""

    name = "stub"

    def close(self) -> None:
        pass


class Capture:
    """Calls back at the given moments, each time with the number of the block that ends then.

    Between the moments of ``blocked`` the program's loop stands still, and the card goes on.
    """

    def __init__(
        self,
        moments: Iterable[float],
        *,
        numbers: Iterable[float] = (),
        blocked: tuple[float, float] = (9e9, 9e9),
    ) -> None:
        self._moments = list(moments)
        self._numbers = list(numbers) or self._moments
        self._blocked = blocked

    async def open(self, name: Any, *, input: bool, callback: Any, on_start: Any) -> StubCard:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        began, (stops, goes_on) = loop.time(), self._blocked
        on_start()

        def call(number: int) -> None:
            callback(np.full(BLOCK, number, np.int16).tobytes(), BLOCK)

        def stand_still(meanwhile: list[tuple[float, int]]) -> None:
            for moment, number in meanwhile:
                loop.now = max(loop.now, began + moment)
                call(number)
            loop.now = began + goes_on

        every = [(at, round(n / PERIOD)) for at, n in zip(self._moments, self._numbers, strict=True)]
        for moment, number in every:
            if not stops < moment <= goes_on:
                loop.call_at(began + moment, call, number)
        if stops < 9e9:
            loop.call_at(began + stops, stand_still, [each for each in every if stops < each[0] <= goes_on])
        return StubCard()


def run(monkeypatch: pytest.MonkeyPatch, capture: Capture, reading: Coroutine[Any, Any, Any]) -> Any:
    """The result of ``reading``, in virtual time."""
    loop = VirtualLoop()
    monkeypatch.setattr(time, "monotonic", loop.time)
    monkeypatch.setattr(soundcard, "open_card", capture.open)
    try:
        return loop.run_until_complete(reading)
    finally:
        loop.close()


async def listened(seconds: float) -> tuple[list[tuple[int, int]], float]:
    """Each block that was read and its place in what is sent; how far the clock is ahead of all of that."""
    notices: list[str] = []
    microphone = await Microphone.open(None, notices.append)
    loop, heard, reads = asyncio.get_running_loop(), list[tuple[int, int]](), 0
    began = loop.time()
    while loop.time() < began + seconds:
        dropped = microphone.dropped
        block = await microphone.read()
        assert microphone.dropped >= dropped
        reads += 1
        heard.append((int(block[0]), reads + microphone.dropped))
    ahead = loop.time() - began - PERIOD * (reads + microphone.dropped)
    microphone.close()
    assert not notices
    return heard, ahead


def steady(until: float, *, stalled: tuple[float, float] = (9e9, 9e9)) -> list[float]:
    """A moment every 10 ms, none between two."""
    begin, end = stalled
    return [at for n in range(1, round(until / PERIOD)) if not begin < (at := PERIOD * n) < end]


def test_every_block_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, ahead = run(monkeypatch, Capture(steady(2)), listened(1))
    assert heard == [(n, n) for n in range(1, len(heard) + 1)]
    assert abs(ahead) < PERIOD


@pytest.mark.parametrize("stall", [0.105, 0.15, 0.5, PATIENCE - 0.1])
def test_silence_stands_in_for_a_card_that_stalls(monkeypatch: pytest.MonkeyPatch, stall: float) -> None:
    heard, ahead = run(monkeypatch, Capture(steady(4, stalled=(1, 1 + stall))), listened(3))
    assert abs(ahead) < 2.5 * PERIOD
    assert max(abs(number - place) for number, place in heard if number) <= 1
    assert sum(number == 0 for number, _ in heard) == pytest.approx(stall / PERIOD, abs=2)


@pytest.mark.parametrize("stall", [0.15, 0.5, PATIENCE - 0.1])
def test_what_a_card_had_held_up_is_not_sent_late(monkeypatch: pytest.MonkeyPatch, stall: float) -> None:
    captured = steady(4)
    delivered = [max(at, 1 + stall) if at > 1 else at for at in captured]
    heard, ahead = run(monkeypatch, Capture(delivered, numbers=captured), listened(3))
    assert abs(ahead) < 2.5 * PERIOD
    assert max(abs(number - place) for number, place in heard if number) <= 1


@pytest.mark.parametrize(
    ("card", "stall"),
    [("goes on", stall) for stall in (0.05, 0.09, 0.11, 0.15, 0.18, 0.2, 0.3, 0.5, 1.0, 3.0)]
    + [("stands still too", stall) for stall in (0.11, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0)],
)
def test_a_program_that_was_stopped_keeps_the_time(
    monkeypatch: pytest.MonkeyPatch, stall: float, card: str
) -> None:
    moments = steady(8) if card == "goes on" else steady(8, stalled=(1, 1 + stall))
    capture = Capture(moments, blocked=(1.0001, 1.0001 + stall))
    heard, ahead = run(monkeypatch, capture, listened(6))
    assert abs(ahead) < 2.5 * PERIOD
    assert max(abs(number - place) for number, place in heard if number) <= 1


def test_a_fast_card_is_kept_up_with_for_an_hour() -> None:
    captured = Captured()
    places = []
    for n in range(360_000):
        captured.add(SILENCE, n * PERIOD / 1.0002)
        places.append(captured.ring.popleft()[0])
    assert places == list(range(360_000))


def test_a_call_begins_with_what_is_said_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> int:
        microphone = await Microphone.open()
        await asyncio.sleep(1.005)
        first = await microphone.read()
        assert microphone.dropped == 0
        microphone.close()
        return int(first[0])

    assert run(monkeypatch, Capture(steady(4)), read()) == 101


def test_a_card_that_stays_away_is_missed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []

    async def read() -> int:
        microphone = await Microphone.open(None, notices.append)
        silent = 0
        for _ in range(600):
            silent += not (await microphone.read()).any()
        microphone.close()
        return silent

    # Opened again, it calls as it did before: for a second, and then no more.
    assert run(monkeypatch, Capture(steady(1)), read()) > 350
    assert notices[0].startswith("the microphone is gone")
    assert notices[1] == "the microphone is back"
    assert len(notices) in (2, 3)
