"""``scripts/demo --tui``: two phones side by side in tmux against a fresh relay, ready to call.

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
from pathlib import Path

from .stage import Stage, StageError, stage

MISSING = "tmux is needed for --tui and is missing; run: apt-get install tmux"
NO_TERMINAL = (
    "--tui opens two phones in a terminal; run scripts/demo --tui in one, or scripts/demo without it"
)
SPEECH = Path(__file__).parent.parent.parent / "tests" / "data" / "speech"
SAID = {"alice": SPEECH / "F1_harvard_phrases.wav", "bob": SPEECH / "M1_harvard_phrases.wav"}


LEAVING = 8.0
"""Seconds for both phones to hang up and end; what holds one up it cuts short after six by itself."""
POLL = 0.05


def window(socket: Path, phones: Sequence[Sequence[str | Path]]) -> list[list[str]]:
    """The tmux commands that open two phones beside each other, with a line on how to begin."""
    tmux = ["tmux", "-S", str(socket), "-f", os.devnull]
    left, right = (shlex.join(map(str, phone)) for phone in phones)
    hint = "alice left, bob right: d bob Enter calls, a answers, v compares the words, q leaves; mouse works"
    return [
        [*tmux, "new-session", "-d", "-s", "qcall", "-x", "200", "-y", "50", left],
        [*tmux, "split-window", "-h", "-t", "=qcall:", right],
        [*tmux, "set-option", "-g", "mouse", "on"],
        [*tmux, "set-option", "-g", "status-left-length", "120"],
        [*tmux, "set-option", "-g", "status-left", f" {hint}"],
        [*tmux, "set-option", "-g", "status-right", ""],
        [*tmux, "set-window-option", "-g", "window-status-current-format", ""],
        [*tmux, "select-pane", "-t", "=qcall:.0"],
    ]


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
            for command in window(socket, phones):
                await call(command)
            if not attach:
                return 0
            # Within another tmux one may attach as well; this server is one of its own.
            environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
            tmux = ("tmux", "-S", str(socket), "attach-session", "-t", "=qcall")
            process = await asyncio.create_subprocess_exec(*tmux, env=environment)
            return await process.wait()
        finally:
            close(socket)


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
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise StageError(f"tmux: {said.decode().strip()}")
