"""The terminal of a phone in a call is closed: the phone hangs up and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import Sequence
from pathlib import Path

from scripts.demonstration.stage import Stage

LIMIT = 15.0


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


async def test_a_closed_terminal_hangs_up_and_leaves_nothing(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--input", "tone", "--output", "null", "--once")
    pid, terminal = in_a_terminal(phones.phone("alice", "tui", "--input", "tone", "--output", "null"))
    loop, seen = asyncio.get_running_loop(), bytearray()
    online = asyncio.Event()

    def read() -> None:
        seen.extend(os.read(terminal, 1 << 16))
        if b"online" in seen:
            online.set()

    loop.add_reader(terminal, read)
    async with asyncio.timeout(LIMIT):
        await online.wait()
    await phones.run("dial", *phones.phone("alice", "control", "dial", "bob"))
    await bob.event("media")

    loop.remove_reader(terminal)
    os.close(terminal)
    async with asyncio.timeout(LIMIT):
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    # Ended by itself, or by its own last moment when what draws hung in the terminal that is gone.
    assert os.waitstatus_to_exitcode(status) in (0, 130)
    assert (await bob.event("ended"))["reason"] == "remote-hangup"
    assert not (phones.home("alice") / "control.sock").exists()
    assert "Traceback" not in (phones.home("alice") / "qcall.log").read_text()
