"""The terminal interface: how soon it can be used, how fast a key works in a call, what it costs.

``start`` runs ``qcall`` on a pseudo terminal, alternating with a bare Textual application, the floor: from
the start of the program to the first frame, and to the first key that worked. ``call`` runs the interface in
this process with its real phone, in a real call with another program over a relay; it presses keys, watches
both event loops with a beat every five milliseconds, and reads the processor time of the screen's thread.
``memory`` shows four hours of a call, one snapshot a second with two changes of level between.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import gc
import os
import pty
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.benchmarks.blocking import ProcessorWait
from scripts.benchmarks.findings import Findings, Promise
from scripts.demonstration.stage import Stage, stage

HELP = "the terminal interface: start, key press to effect in a call, processor share, stalls, memory"
BEAT = 0.005
"""Seconds between two beats of the watch on an event loop."""
SIZE = (120, 40)
LIMIT = 20.0
MOMENTS = {
    "floor": "first frame of a bare Textual application (the floor)",
    "frame": "first frame",
    "key": "first key that works",
    "online": "online at the relay",
}
PAGES = {
    "l": "log",
    "c": "calls",
    "f": "contacts",
    "s": "settings",
    "v": "verify",
    "colon": "commands",
    "f1": "help",
    "d": "dial",
    "ctrl+p": "palette",
}
"""Keys, and the pages that they open."""
PAGE_STAYS = 0.25
"""Seconds for which a page that was opened is watched: a few changes of a meter."""
MEMORY_PAGE = os.sysconf("SC_PAGE_SIZE")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--starts", type=int, default=7, help="starts of each program (default 7)")
    parser.add_argument("--keys", type=int, default=30, help="key presses in the call (default 30)")
    parser.add_argument("--openings", type=int, default=7, help="times a page is opened again (default 7)")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of quiet call (default 20)")
    parser.add_argument("--hours", type=int, default=4, help="hours of virtual call (default 4)")


class Terminal:
    """A program on a pseudo terminal of 120x40."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self.began = time.perf_counter()
        environment = {**os.environ, "TERM": "xterm-256color"}
        self.pid = os.posix_spawn(
            str(command[0]),
            [str(word) for word in command],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, side, number) for number in (0, 1, 2)],
            setsid=True,
        )
        os.close(side)
        os.set_blocking(self._main, False)
        self.seen = b""

    def shows(self, wanted: bytes) -> float:
        """Seconds from the start until ``wanted`` was written."""
        while wanted not in self.seen:
            if time.perf_counter() - self.began > LIMIT:
                raise TimeoutError(f"no {wanted!r}: {self.seen[-400:]!r}")
            try:
                self.seen += os.read(self._main, 1 << 16)
            except BlockingIOError:
                time.sleep(0.0005)
        return time.perf_counter() - self.began

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._main, keys)

    def close(self) -> None:
        """End it."""
        os.kill(self.pid, 15)
        while True:
            try:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    break
                os.read(self._main, 1 << 16)
            except (BlockingIOError, OSError):
                time.sleep(0.005)
        os.close(self._main)


def starts(theatre: Stage, number: int) -> dict[str, list[float]]:
    """Seconds to each moment of a start, alternating with the floor."""
    found: dict[str, list[float]] = {"frame": [], "key": [], "online": [], "floor": []}
    bare = (sys.executable, "-m", "scripts.benchmarks.bare_screen")
    for _ in range(number):
        floor = Terminal(bare)
        found["floor"].append(floor.shows(b"ready"))
        floor.close()
        phone = Terminal(theatre.phone("alice"))
        found["frame"].append(phone.shows(b"Quit"))
        phone.press(b"d")
        found["key"].append(phone.shows(b"as the relay knows it"))
        found["online"].append(phone.shows(b"online"))
        phone.close()
    return found


class Watch:
    """Beats on an event loop, and the longest time that a beat came too late.

    Less the time for which ``waiting`` threads waited for a processor: other programs held those up.
    """

    def __init__(self, waiting: ProcessorWait) -> None:
        self.late: list[float] = []
        self._waiting = waiting
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._waiting.follow()
        self._task = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            waited, began = self._waiting.seconds(), time.perf_counter()
            await asyncio.sleep(BEAT)
            elapsed = time.perf_counter() - began
            self.late.append(max(0.0, elapsed - BEAT - (self._waiting.seconds() - waited)))

    def worst(self) -> float:
        """The longest delay, and a fresh start."""
        worst, self.late = max(self.late, default=0.0), []
        return worst


@contextlib.asynccontextmanager
async def alice(theatre: Stage) -> AsyncIterator[tuple[Any, Any]]:
    """The interface of alice with her real phone on its thread, online: the application and the thread."""
    from qcall.config import Home, Settings
    from qcall.heap import settle_screen
    from qcall.tui.app import QcallApp
    from qcall.tui.link import PhoneThread, starting
    from qcall.tui.start import SWITCH_INTERVAL

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    home = Home(theatre.home("alice"))
    link = PhoneThread(home, {}, {"spoken": "tone", "heard": "null"}, None, None, {})
    account = home.account()
    first = starting(account.name, account.site, account.relay, "prefer")
    app = QcallApp(link, first, settings=Settings(reduced_motion=True), guard=0, settle=settle_screen)
    try:
        async with app.run_test(size=SIZE):
            await until(lambda: str(app.snapshot.link) == "online")
            yield app, link
    finally:
        sys.setswitchinterval(before)


async def in_call(theatre: Stage, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured in a real call."""
    await theatre.listen("bob", "--auto-answer", "--input", "tone", "--output", "null")
    async with alice(theatre) as (app, link):
        app.dial("bob")
        await until(lambda: app.talk is not None and app.talk.talking_at is not None)
        await asyncio.sleep(2.0)
        watches = await watch_both(link)
        quiet = await share(app, options.seconds)
        stalls = {"screen, quiet": watches[0].worst(), "phone, quiet": watches[1].worst()}
        presses = [await press(app) for _ in range(options.keys)]
        stalls |= {"screen, mute key": watches[0].worst(), "phone, mute key": watches[1].worst()}
        for key, what in PAGES.items():
            stalls[f"screen, {what} opened, first"] = await opened(app, key, watches[0])
        again = {what: [] for what in PAGES.values()}
        for _ in range(options.openings):
            for key, what in PAGES.items():
                again[what].append(await opened(app, key, watches[0]))
        for what, found in again.items():
            stalls[f"screen, {what} opened again, median"] = statistics.median(found)
        stalls["phone, opening pages"] = watches[1].worst()
        app.command("hangup")
        await until(lambda: not app.snapshot.live)
    return {"presses": presses, "share": quiet, "stalls": stalls, "again": again}


async def opened(app: Any, key: str, watch: Watch) -> float:
    """The longest stall of the screen's loop while the page of ``key`` is opened, drawn and left."""
    watch.worst()
    await open_and_leave(app, key)
    return watch.worst()


async def open_and_leave(app: Any, key: str) -> None:
    """Open the page of ``key``, see it drawn, and leave it.

    Not by Textual's pilot, which waits until this process idles: in a call it never does.
    """
    below = app.screen
    app.simulate_key(key)
    await until(lambda: app.screen is not below)
    await drawn(app)
    await asyncio.sleep(PAGE_STAYS)
    app.simulate_key("escape")
    await until(lambda: app.screen is below)
    await drawn(app)


async def drawn(app: Any) -> None:
    """Wait until the screen on top has been put together and painted."""
    await until(lambda: app.screen.is_mounted)
    painted = asyncio.Event()
    app.screen.call_after_refresh(painted.set)
    async with asyncio.timeout(LIMIT):
        await painted.wait()


async def watch_both(link: Any) -> tuple[Watch, Watch]:
    """A watch on the screen's loop and one on the phone's."""
    waiting = ProcessorWait()
    screen, phone = Watch(waiting), Watch(waiting)
    screen.start()
    link._loop.call_soon_threadsafe(phone.start)
    await asyncio.sleep(0.1)
    return screen, phone


async def until(condition: Any) -> None:
    """Wait for ``condition``."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the call did not come about")
        await asyncio.sleep(0.02)


async def share(app: Any, seconds: float) -> float:
    """The share of a core that this thread, which is the screen's, takes for ``seconds``."""
    busy, began = time.thread_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (time.thread_time() - busy) / (time.perf_counter() - began)


async def press(app: Any) -> float:
    """Seconds from the mute key to the changed word on the composed screen."""
    wanted = not app.talk.muted
    began = time.perf_counter()
    app.simulate_key("m")
    while True:
        text = str(app.query_one("#call").render())
        if ("MUTED" in text) is wanted and app.talk.muted is wanted:
            break
        await asyncio.sleep(0.0005)
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.1)
    return elapsed


def counted(second: int) -> dict[str, Any]:
    """What the voice of a good call has counted by then."""
    from qcall.session.report import quality

    sums = dict.fromkeys(("totalSamplesReceived", "jitterBufferEmittedCount"), 48_000 * second)
    rest = dict.fromkeys(("concealedSamples", "concealmentEvents", "relativePlayoutDelay"), 0)
    lost = second // 60
    packets = {"packetsReceived": 50 * second - lost, "packetsLost": lost, "jitter": 0.002}
    return quality({**sums, **rest, **packets}, 20)


async def four_hours(hours: int) -> list[float]:
    """Resident megabytes after each hour of a call that only the board plays."""
    from qcall.config import Settings
    from qcall.session import board
    from qcall.tui.app import QcallApp
    from tests.qcall.tui.phones import IN_CALL, SECURITY, ToldLink

    link = ToldLink(IN_CALL)
    app = QcallApp(link, IN_CALL, settings=Settings(reduced_motion=True), guard=0)
    snapshot, sizes = IN_CALL, []
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        for hour in range(hours):
            for second in range(hour * 3600, hour * 3600 + 3600):
                for half in (0, 1):
                    level = -20.0 - (second + half) % 9
                    snapshot = board.levelled(snapshot, IN_CALL.calls[0].id, level, level)
                    link.show(snapshot)
                snapshot = board.measured(snapshot, IN_CALL.calls[0].id, counted(second))
                if second % 60 == 0:
                    event = board.Event("rekeyed", float(second), {"call": IN_CALL.calls[0].id, **SECURITY})
                    snapshot = board.after(snapshot, event, float(second))
                    await pilot.pause()
                link.show(snapshot)
            gc.collect()
            sizes.append(resident())
    return sizes


def resident() -> float:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * MEMORY_PAGE / 1e6


def run(options: argparse.Namespace) -> Findings:
    """Measure, and hold the figures against what was promised."""

    async def measure() -> tuple[dict[str, list[float]], dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="qcall-bench-") as directory:
            async with stage(Path(directory)) as theatre:
                await theatre.serve()
                await theatre.enrol("alice", "beijing")
                await theatre.enrol("bob", "hefei")
                began = await asyncio.to_thread(starts, theatre, options.starts)
                return began, await in_call(theatre, options)

    began, call = asyncio.run(measure())
    sizes = asyncio.run(four_hours(options.hours))
    middle = {name: 1000 * statistics.median(values) for name, values in began.items()}
    floor, presses, stalls = middle["floor"], call["presses"], call["stalls"]
    rows = [
        *(row(f"start to {what}", middle[name], "ms", floor) for name, what in MOMENTS.items()),
        row("key press to effect in a call, median", 1000 * statistics.median(presses), "ms"),
        row("key press to effect in a call, worst", 1000 * max(presses), "ms"),
        *(row(f"longest stall of the loop: {name}", 1000 * late, "ms") for name, late in stalls.items()),
        row("screen's share of a core in a call", 100 * call["share"], "%"),
        row("resident after the first hour", sizes[0], "MB"),
        row(f"resident after {options.hours} hours", sizes[-1], "MB", sizes[0]),
    ]
    first = max(stalls[f"screen, {what} opened, first"] for what in PAGES.values())
    again = max(stalls[f"screen, {what} opened again, median"] for what in PAGES.values())
    promises = [
        Promise("start to the first key that works, ms", middle["key"], 700),
        Promise("key press to effect in a call, worst, ms", 1000 * max(presses), 50),
        Promise("screen's share of a core in a call, %", 100 * call["share"], 8),
        Promise("longest stall of the phone's loop in a quiet call, ms", 1000 * stalls["phone, quiet"], 20),
        Promise("longest stall of the screen's loop in a quiet call, ms", 1000 * stalls["screen, quiet"], 20),
        Promise(
            "longest stall of the screen's loop at the mute key, ms", 1000 * stalls["screen, mute key"], 20
        ),
        Promise(
            "longest stall of the phone's loop at the mute key, ms", 1000 * stalls["phone, mute key"], 20
        ),
        Promise(
            "longest stall of the phone's loop while pages open, ms",
            1000 * stalls["phone, opening pages"],
            20,
        ),
        Promise("stall of the screen's loop when the dearest page is opened again, ms", 1000 * again, 20),
        # Textual parses and caches the styles of every kind of widget when it meets the first of it.
        Promise("stall of the screen's loop when the dearest page is opened first, ms", 1000 * first, 30),
        Promise("memory after the last hour over the first", sizes[-1] / sizes[0], 1.02),
    ]
    return Findings(
        title="the terminal interface",
        rows=rows,
        promises=promises,
        versions={"textual": version("textual"), "python": sys.version.split()[0]},
        details={"starts": began, "presses": presses, "again": call["again"], "resident": sizes},
    )


def row(what: str, figure: float, unit: str, of: float | None = None) -> dict[str, Any]:
    """One line of the table; ``of`` is what the figure is held against in the same run."""
    return {"what": what, "figure": figure, "unit": unit, "ratio": "" if of is None else f"{figure / of:.2f}"}
