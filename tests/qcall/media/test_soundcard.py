"""A microphone whose card stalls, in virtual time: what is said keeps its place in time."""

from __future__ import annotations

import asyncio
import itertools
import selectors
import time
from collections.abc import Coroutine, Iterable
from typing import Any

import numpy as np
import pytest

from qcall.media import soundcard
from qcall.media.opus import Samples
from qcall.media.playout import BLOCK
from qcall.media.soundcard import PATIENCE, RING, Microphone

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
    """Calls back at the given moments, each time with the number of the block that ends then."""

    def __init__(self, moments: Iterable[float]) -> None:
        self._moments = list(moments)

    async def open(self, name: Any, *, input: bool, callback: Any, on_start: Any) -> StubCard:
        loop = asyncio.get_running_loop()
        on_start()
        for moment in self._moments:
            loop.call_at(loop.time() + moment, self._call, callback, round(moment / PERIOD))
        return StubCard()

    @staticmethod
    def _call(callback: Any, number: int) -> None:
        callback(np.full(BLOCK, number, np.int16).tobytes(), BLOCK)


def run(monkeypatch: pytest.MonkeyPatch, capture: Capture, reading: Coroutine[Any, Any, Any]) -> Any:
    """The result of ``reading``, in virtual time."""
    loop = VirtualLoop()
    monkeypatch.setattr(time, "monotonic", loop.time)
    monkeypatch.setattr(soundcard, "open_card", capture.open)
    try:
        return loop.run_until_complete(reading)
    finally:
        loop.close()


async def listened(seconds: float, pause: tuple[float, float] | None = None) -> tuple[list[int], int, float]:
    """What each block read was, how many were dropped, and how far the clock is ahead of all of these.

    ``pause`` is when the program is busy with something else, and for how long.
    """
    notices: list[str] = []
    microphone = await Microphone.open(None, notices.append)
    loop, heard = asyncio.get_running_loop(), list[Samples]()
    began = loop.time()
    while loop.time() < began + seconds:
        if pause is not None and loop.time() >= began + pause[0]:
            await asyncio.sleep(pause[1])
            pause = None
        heard.append(await microphone.read())
    ahead = loop.time() - began - PERIOD * (len(heard) + microphone.dropped)
    microphone.close()
    assert not notices
    return [int(block[0]) for block in heard], microphone.dropped, ahead


def steady(until: float, *, stalled: tuple[float, float] = (9e9, 9e9), backlog: bool = False) -> list[float]:
    """A callback every 10 ms, none between two moments; with ``backlog`` they come after that at once."""
    every = [PERIOD * n for n in range(1, round(until / PERIOD))]
    begin, end = stalled
    if backlog:
        return [max(at, end) if begin < at < end else at for at in every]
    return [at for at in every if not begin < at < end]


def test_every_block_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, dropped, ahead = run(monkeypatch, Capture(steady(2)), listened(1))
    assert heard == list(range(1, len(heard) + 1))
    assert dropped == 0
    assert abs(ahead) < PERIOD


@pytest.mark.parametrize("stall", [0.15, 0.5, PATIENCE - 0.1])
@pytest.mark.parametrize("backlog", [False, True])
def test_silence_stands_in_for_a_card_that_stalls(
    monkeypatch: pytest.MonkeyPatch, stall: float, backlog: bool
) -> None:
    capture = Capture(steady(4, stalled=(1, 1 + stall), backlog=backlog))
    heard, _, ahead = run(monkeypatch, capture, listened(3))
    assert abs(ahead) < 2 * PERIOD
    late = [abs(number - at) for at, number in enumerate(heard, 1) if number]
    assert max(late) <= 2, "what was said before and after has its place in time"
    assert heard.count(0) == pytest.approx(stall / PERIOD, abs=2)


def test_what_a_busy_program_did_not_read_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, dropped, ahead = run(monkeypatch, Capture(steady(4)), listened(3, pause=(1.0, 0.5)))
    assert dropped == pytest.approx(50 - RING, abs=1)
    assert abs(ahead) < 2 * PERIOD
    assert 0 not in heard


def test_a_busy_program_hears_what_was_said_last(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, dropped, _ = run(monkeypatch, Capture(steady(4)), listened(2, pause=(1.0, 0.5)))
    jump = next(at for at, (one, other) in enumerate(itertools.pairwise(heard)) if other > one + 1)
    assert heard[jump + 1] - heard[jump] == dropped + 1


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
