"""A terminal is closed in which a phone is in a call, or two are side by side: nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.demonstration.stage import Stage
from tests.e2e.tmux import Tmux

LIMIT = 15.0
ROOT = Path(__file__).parent.parent.parent
SOUND = ("--input", "tone", "--output", "null")


def in_a_terminal(command: Sequence[str | Path]) -> tuple[int, int]:
    """Start ``command`` as the leader of a session on a terminal; its process, and our end of that."""
    ours, side = pty.openpty()
    pid = os.posix_spawn(
        str(command[0]),
        [str(word) for word in command],
        {**os.environ, "TERM": "xterm-256color"},
        # What a session's leader opens first becomes its terminal; only then is it told of its end.
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.ttyname(side), os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ],
        setsid=True,
    )
    os.close(side)
    return pid, ours


async def seen(terminal: int, text: bytes) -> None:
    """Read the terminal until ``text`` has come."""
    loop, said, there = asyncio.get_running_loop(), bytearray(), asyncio.Event()

    def read() -> None:
        said.extend(os.read(terminal, 1 << 16))
        if text in said:
            there.set()

    loop.add_reader(terminal, read)
    try:
        async with asyncio.timeout(LIMIT):
            await there.wait()
    finally:
        loop.remove_reader(terminal)


async def closed(terminal: int, pid: int) -> int:
    """The exit code of the program whose terminal is closed."""
    os.close(terminal)
    async with asyncio.timeout(LIMIT):
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status)


async def test_a_closed_terminal_hangs_up_and_leaves_nothing(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    pid, terminal = in_a_terminal(phones.phone("alice", "tui", *SOUND))
    await seen(terminal, b"online")
    await phones.run("dial", *phones.phone("alice", "control", "dial", "bob"))
    await bob.event("media")
    # Ended by itself, or by its own last moment when what draws hung in the terminal that is gone.
    assert await closed(terminal, pid) in (0, 130)
    assert (await bob.event("ended"))["reason"] == "remote-hangup"
    assert not (phones.home("alice") / "control.sock").exists()
    assert "Traceback" not in (phones.home("alice") / "qcall.log").read_text()


@pytest.mark.parametrize("words", [("call", "bob"), ("listen", "--auto-answer")])
async def test_the_closed_terminal_of_a_phone_without_a_screen_ends_its_call(
    phones: Stage, words: tuple[str, ...]
) -> None:
    calls = words[0] == "call"
    if calls:
        bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    pid, terminal = in_a_terminal(phones.phone("alice", *words, *SOUND))
    if not calls:
        await seen(terminal, b"registered")
        bob = await phones.call("bob", "alice", *SOUND)
    await seen(terminal, b"talking")
    os.kill(pid, signal.SIGHUP)  # The shell passes it on, and then the system sends its own.
    assert await closed(terminal, pid) == 0
    assert (await bob.event("ended"))["reason"] == "remote-hangup"
    assert not (phones.home("alice") / "control.sock").exists()
    history = await phones.run("history", *phones.phone("alice", "history", "--json"))
    assert [call["reason"] for call in history.events] == ["hangup"]


@pytest.mark.skipif(
    shutil.which("tmux") is None or not hasattr(os, "pidfd_open"),
    reason="needs Linux with tmux: apt-get install tmux",
)
async def test_a_closed_terminal_ends_both_phones_of_the_demonstration(tmp_path: Path) -> None:
    """From an interactive shell, which tells its jobs of the end besides the system that tells them all."""
    demonstration = f"cd {ROOT}; {sys.executable} -m scripts.demonstration --tui; true"
    shell = ("/bin/bash", "--norc", "-i", "-c", demonstration)
    pid, terminal = in_a_terminal(("/usr/bin/env", "-u", "TMUX", f"TMPDIR={tmp_path}", *shell))
    await seen(terminal, b"online")
    (socket,) = tmp_path.glob("*/tmux")
    told = (await Tmux(socket).run("list-panes", "-a", "-F", "#{pid} #{pane_pid}")).split()
    running = [os.pidfd_open(int(each)) for each in dict.fromkeys(told)]
    assert len(running) == 3
    ended = [asyncio.Event() for _ in running]
    loop = asyncio.get_running_loop()
    for descriptor, event in zip(running, ended, strict=True):
        loop.add_reader(descriptor, event.set)
    try:
        await closed(terminal, pid)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*(each.wait() for each in ended))
            while any(tmp_path.iterdir()):
                await asyncio.sleep(0.05)
    finally:
        for descriptor, event in zip(running, ended, strict=True):
            loop.remove_reader(descriptor)
            if not event.is_set():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
