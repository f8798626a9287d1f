"""``scripts/demo --tui``: two phones in one tmux against a fresh relay, ready to call.

They stand beside each other, one above the other, or, in a small terminal, each in a window of its own.
Everything lives in a directory that goes when both phones were left (q), or the terminal was closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from .stage import Stage, StageError, stage

MISSING = "tmux is needed for --tui and is missing; run: apt-get install tmux"
NO_TERMINAL = (
    "--tui opens two phones in a terminal; run scripts/demo --tui in one, or scripts/demo without it"
)
SPEECH = Path(__file__).parent.parent.parent / "tests" / "data" / "speech"
SAID = {"alice": SPEECH / "F1_harvard_phrases.wav", "bob": SPEECH / "M1_harvard_phrases.wav"}


ROOMY, NARROW, LOW = 79, 58, 23
"""Cells and lines from which on a phone shows everything, and cells from which on it can be used."""
SWITCH = "F12"
"""The key that goes to the other phone; no phone has it."""
WINDOW_NAMES = len("[alice] bob rings! ") + 2
"""Cells for the names of two windows."""
LEAVING = 8.0
"""Seconds for both phones to hang up and end; what holds one up it cuts short after six by itself."""
POLL = 0.05


class Layout(StrEnum):
    """Where two phones stand in one terminal."""

    BESIDE = "alice left, bob right"
    STACKED = "alice above, bob below"
    WINDOWS = "one phone at a time"


def layout(width: int, height: int) -> Layout:
    """Where both phones can be used in a terminal of that size, the roomiest first."""
    half, above = (width - 1) // 2, (height - 2) // 2
    if half >= ROOMY and height > LOW:
        return Layout.BESIDE
    if width >= ROOMY and above >= LOW:
        return Layout.STACKED
    if half >= NARROW and height > LOW:
        return Layout.BESIDE
    return Layout.WINDOWS


def hint(chosen: Layout, width: int) -> str:
    """How to begin, in one line, as much of it as there is room for."""
    switch = f"{SWITCH} other phone"
    shorter = ("d bob Enter calls", "a answers", "v compares the words", "q leaves", "mouse works")
    said = ([str(chosen)] if chosen is not Layout.WINDOWS else []) + [switch]
    room = width - (WINDOW_NAMES if chosen is Layout.WINDOWS else 0)
    for each in shorter:
        if len("  ".join((*said, each))) + 2 > room:
            break
        said.append(each)
    return "  ".join(said)


def window(socket: Path, phones: Sequence[Sequence[str | Path]], width: int, height: int) -> list[list[str]]:
    """The tmux commands that open two phones in a terminal of that size, with a line on how to begin."""
    tmux = ["tmux", "-S", str(socket), "-f", os.devnull]
    one, other = (shlex.join(map(str, phone)) for phone in phones)
    chosen = layout(width, height)
    apart = chosen is Layout.WINDOWS
    second = {
        Layout.BESIDE: ["split-window", "-h", "-t", "=qcall:"],
        Layout.STACKED: ["split-window", "-v", "-t", "=qcall:"],
        Layout.WINDOWS: ["new-window", "-d", "-n", "bob", "-t", "=qcall:"],
    }[chosen]
    turn = ["next-window"] if apart else ["select-pane", "-t", ":.+"]
    name = " #W#{?window_bell_flag, rings!,} "
    size = ["-x", str(width), "-y", str(height)]
    first = [
        ["set-option", "-g", "default-terminal", "screen-256color"],
        ["set-option", "-s", "escape-time", "10"],
    ]
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        first.append(["set-option", "-g", "-a", "terminal-overrides", ",*:Tc"])
    return [
        # What a terminal is, and how soon Escape is itself, holds for phones that begin after it is said.
        [*tmux, "start-server", ";", *joined(first), "new-session", "-d", "-s", "qcall", *size, one],
        [*tmux, "rename-window", "-t", "=qcall:", "alice"],
        [*tmux, *second, other],
        [*tmux, "set-option", "-g", "mouse", "on"],
        [*tmux, "set-option", "-g", "status-left-length", str(width)],
        [*tmux, "set-option", "-g", "status-left", f" {hint(chosen, width)}  "],
        [*tmux, "set-option", "-g", "status-right", ""],
        [*tmux, "set-window-option", "-g", "window-status-separator", ""],
        [*tmux, "set-window-option", "-g", "window-status-format", name if apart else ""],
        [*tmux, "set-window-option", "-g", "window-status-current-format", "[#W]" if apart else ""],
        [*tmux, "bind-key", "-n", SWITCH, *turn],
        [*tmux, "select-pane", "-t", "=qcall:.0"],
    ]


def joined(commands: Sequence[Sequence[str]]) -> list[str]:
    """Commands of tmux, each with what parts it from the next."""
    return [word for command in commands for word in (*command, ";")]


def sound(name: str, has_card: bool) -> list[str]:
    """A sound card is used where there is one; else speech is spoken and nothing is heard."""
    return [] if has_card else ["--input", str(SAID[name]), "--output", "null"]


def card() -> bool:
    """Whether there are a microphone and a loudspeaker."""
    from qcall.errors import QcallError
    from qcall.session.soundtest import SoundTest

    try:
        microphones, speakers = SoundTest().cards()
    except QcallError:
        return False
    return bool(microphones and speakers)


async def prepare(theatre: Stage, topology: str) -> list[Sequence[str | Path]]:
    """A relay, and two phones that know each other."""
    print("relay and two phones …", file=sys.stderr)
    await theatre.serve("--topology", topology)
    sites = theatre.ready["sites"]
    await theatre.enrol("alice", sites[0])
    await theatre.enrol("bob", sites[-1])
    for name, other in (("alice", "bob"), ("bob", "alice")):
        await theatre.run("contacts", *theatre.phone(name, "contacts", "add", other))
    has_card = card()
    return [theatre.phone(name, "tui", *sound(name, has_card)) for name in ("alice", "bob")]


async def perform(directory: Path, topology: str, attach: bool = True) -> int:
    """Open the window and stay until it is closed."""
    if shutil.which("tmux") is None:
        raise StageError(MISSING)
    socket = directory / "tmux"
    async with stage(directory) as theatre:
        phones = await prepare(theatre, topology)
        try:
            for command in window(socket, phones, *terminal()):
                await call(command)
            if not attach:
                return 0
            tmux = ("tmux", "-S", str(socket), "attach-session", "-t", "=qcall")
            process = await asyncio.create_subprocess_exec(*tmux, env=environment())
            return await process.wait()
        finally:
            close(socket)


def environment() -> dict[str, str]:
    """For a tmux of its own, also within another, whose panes have sizes that no variable tells."""
    strange = ("TMUX", "COLUMNS", "LINES")
    return {name: value for name, value in os.environ.items() if name not in strange}


def terminal() -> tuple[int, int]:
    """Columns and lines of the terminal that this program runs in."""
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(sys.stdout.fileno())
        if all(size):
            return size.columns, size.lines
    return 200, 50


def close(socket: Path) -> None:
    """Let the phones leave, and end their tmux; all are gone when this returns.

    Blocks, and does it in a session of its own: nothing cancels it, and no signal of a terminal that closes
    reaches it.
    """
    tmux = ("tmux", "-S", str(socket))
    panes = subprocess.run(
        [*tmux, "list-panes", "-a", "-F", "#{pane_pid}"],
        capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip
    # What runs in a pane leads a group. A phone leaves sooner while it has its terminal.
    phones = [int(each) for each in panes.stdout.split()]
    tell(phones, signal.SIGTERM)
    limit = time.monotonic() + LEAVING
    while (phones := tell(phones, 0)) and time.monotonic() < limit:
        time.sleep(POLL)
    subprocess.run([*tmux, "kill-server"], capture_output=True, check=False, start_new_session=True)
    tell(phones, signal.SIGKILL)


def tell(groups: Sequence[int], number: int) -> list[int]:
    """Send a signal to process groups, 0 to look only; those that there are."""
    there = []
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            there.append(group)
    return there


async def call(command: Sequence[str]) -> None:
    """Run one command of tmux."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment()
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise StageError(f"tmux: {said.decode().strip()}")
