"""Microphone and loudspeaker, by PortAudio: named, changeable, and allowed to vanish during a call.

PortAudio calls back from a thread of its own, every 10 ms when all is well. Bounded rings lie in between:
what is too old is dropped, never queued. When the callbacks cease (unplugged, a sound server restarted), the
clock goes on pacing silence, and the device is looked for again every two seconds.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Self

import numpy as np

from qcall.errors import DeviceError

from .devices import PERIOD, Beat
from .opus import Samples
from .playout import SILENCE
from .portaudio import Card, open_card

RING = 10
"""Blocks between the card's thread and the program at most; older ones are dropped."""
AHEAD, FAR_AHEAD = 1, 2
"""Blocks that a loudspeaker is kept supplied with: at first, and since it was once left without."""
HELD_UP = 0.1
"""Seconds without a block after which silence takes the microphone's place, at its pace."""
PATIENCE = 1.5
"""Seconds without a callback after which the device counts as gone; a busy machine may take one."""
STARTING_PATIENCE, STEADY = 5.0, 20
"""The same until it has called so often: PulseAudio stalls for two seconds after the first few calls."""
SEARCH = 2.0
"""Seconds between two attempts to open it again."""

HEADSETS = ("headset", "headphone", "earphone", "earbud", "airpods", "hands-free", "handset")
"""Words in the names of devices whose loudspeaker no microphone picks up."""

Notice = Callable[[str], None]


def is_headset(name: str) -> bool:
    """Whether a device of this name is worn; where that is not clear, it is not."""
    return any(word in name.casefold() for word in HEADSETS)


class Device(abc.ABC):
    """What microphone and loudspeaker share: a stream that may cease, and is looked for again."""

    kind: str
    input: bool

    def __init__(self, name: str | None, notice: Notice) -> None:
        self._name = name
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._called = asyncio.Event()
        self._beat = Beat()
        self._search: asyncio.Task[None] | None = None
        self._closed = False
        self._calls = 0
        self._called_at = 0.0
        self._card: Card | None = None
        self.name = ""

    @classmethod
    async def open(cls, name: str | None = None, notice: Notice = lambda _: None) -> Self:
        """The default device unless named. Raises ``DeviceError`` when there is none.

        ``notice`` is told, in words for the user, when it goes and when it comes back.
        """
        device = cls(name, notice)
        device._card = await device._opened(name)
        device.name = device._card.name
        return device

    def close(self) -> None:
        """Give the device back; may be called twice."""
        self._closed = True
        if self._search is not None:
            self._search.cancel()
        if self._card is not None:
            self._card.close()
            self._card = None
        self._called.set()

    async def _opened(self, name: str | None) -> Card:
        return await open_card(name, input=self.input, callback=self._on_block, on_start=self._on_start)

    async def _next_call(self, limit: float) -> bool:
        """Wait for the card's next callback, for ``limit`` seconds at most; whether it came."""
        self._called.clear()
        try:
            async with asyncio.timeout(min(limit, self._patience())):
                await self._called.wait()
            return True
        except TimeoutError:
            return False

    def _patience(self) -> float:
        """Seconds until the device counts as gone; 0 when it does."""
        if self._search is not None:
            return 0.0
        patience = PATIENCE if self._calls >= STEADY else STARTING_PATIENCE
        return max(0.0, self._called_at + patience - time.monotonic())

    def _miss(self) -> None:
        """Look for the device, if it is gone."""
        if self._search is None and not self._patience() and not self._closed:
            self._notice(f"the {self.kind} is gone; looking for it every {SEARCH:.0f} seconds")
            self._search = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        """Look for the device until it is back, or for another in its place."""
        old, self._card = self._card, None
        if old is not None:
            old.close()
        while self._card is None:
            await asyncio.sleep(SEARCH)
            for name in dict.fromkeys((self._name, None)):
                with contextlib.suppress(DeviceError):
                    self._card = await self._opened(name)
                    break
        self._search = None
        same = self._card.name == self.name
        self._notice(f"the {self.kind} is back" if same else f"the {self.kind} is now {self._card.name}")
        self.name = self._card.name

    def _on_start(self) -> None:
        self._calls = 0
        self._called_at = time.monotonic()

    def _wake(self) -> None:
        self._calls += 1
        self._called_at = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the program's loop has ended before the card's thread
            self._loop.call_soon_threadsafe(self._called.set)

    @abc.abstractmethod
    def _on_block(self, data: bytes | None, frames: int, *_: object) -> tuple[bytes | None, int]: ...


class Captured:
    """Blocks as a card captures them, each with its place in time, counted in blocks.

    ``add`` is for the card's thread. Time goes on where the card does not call; what it had held up comes
    all at once then, too late for its places, and is dropped.
    """

    def __init__(self) -> None:
        self.ring: deque[tuple[int, Samples]] = deque(maxlen=RING)
        self._place = 0
        self._last: float | None = None
        self._resumed: float | None = None

    def add(self, block: Samples, now: float) -> None:
        """A block was captured at ``now``."""
        gap = 0.0 if self._last is None else now - self._last
        if gap > HELD_UP:
            self._resumed = self._resumed or now
            if now < self._resumed + PERIOD / 2:
                return
            self._resumed = None
            self._place += round(gap / PERIOD) - 1
        self._last = now
        self.ring.append((self._place, block))
        self._place += 1


class Microphone(Device):
    """A microphone, which ``open`` gives. What it says belongs to the moment: late blocks are dropped."""

    kind, input = "microphone", True

    def __init__(self, name: str | None, notice: Notice) -> None:
        self.started: float | None = None
        self.dropped = 0
        self._captured = Captured()
        self._next: int | None = None
        """The place of the next block; unknown before the first."""
        self._silent = False
        super().__init__(name, notice)

    async def read(self, blocks: int = 1) -> Samples:
        """The next blocks; silence, at their pace, while the device delivers none."""
        if self.started is None:
            self._captured.ring.clear()
            self.started = self._loop.time()
        return np.concatenate([await self._next_block() for _ in range(blocks)])

    async def _next_block(self) -> Samples:
        asked = time.monotonic()
        while not self._closed:
            while self._captured.ring:
                place, block = self._captured.ring.popleft()
                self._silent = False
                if self._next is None or place >= self._next:
                    self.dropped += 0 if self._next is None else place - self._next
                    self._next = place + 1
                    return block
            if self._silent or not await self._next_call(HELD_UP):
                if self._captured.ring:
                    continue  # The program was busy, not the card.
                return await self._silence(asked)
        return SILENCE

    async def _silence(self, since: float) -> Samples:
        """A block of it, when it is due; the first one for the time that began at ``since``."""
        if not self._silent:
            self._silent = True
            self._beat.next = since + PERIOD
        self._miss()
        skipped = self._beat.skipped
        await self._beat.tick()
        if self._next is not None:
            skipped = self._beat.skipped - skipped
            self.dropped += skipped
            self._next += skipped + 1
        return SILENCE

    def _on_start(self) -> None:
        self._captured.ring.clear()
        super()._on_start()

    def _on_block(self, data: bytes | None, frames: int, *_: object) -> tuple[bytes | None, int]:
        self._captured.add(np.frombuffer(data or b"", np.int16), time.monotonic())
        self._wake()
        return None, 0  # paContinue


class Speaker(Device):
    """A loudspeaker, which ``open`` gives."""

    kind, input = "loudspeaker", False

    def __init__(self, name: str | None, notice: Notice) -> None:
        self._ahead = AHEAD
        self.started: float | None = None
        self._ring: deque[Samples] = deque(maxlen=RING)
        super().__init__(name, notice)

    async def wanted(self) -> None:
        """Return when the next block is wanted; every 10 ms while the device is gone."""
        while len(self._ring) >= self._ahead and not self._closed:
            if not await self._next_call(PATIENCE):
                self._miss()
            if self._search is not None:
                await self._beat.tick()
                break
        if self.started is None:
            self.started = self._loop.time()

    def write(self, block: Samples) -> None:
        """Play ``block`` behind what waits already."""
        self._ring.append(block)

    def _on_start(self) -> None:
        self._ring.clear()
        super()._on_start()

    def _on_block(self, data: bytes | None, frames: int, *_: object) -> tuple[bytes | None, int]:
        if self._ring:
            block = self._ring.popleft()
        else:
            block = SILENCE
            if self._calls > STEADY:
                self._ahead = FAR_AHEAD
        self._wake()
        return block[:frames].tobytes(), 0  # paContinue
