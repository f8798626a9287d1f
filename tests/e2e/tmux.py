"""A terminal that a test can type into and read: tmux, on a socket of its own."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

POLL = 0.05
"""Seconds between two looks at a screen."""


class Screen:
    """One pane; its program ends with the server."""

    def __init__(self, tmux: Tmux, name: str) -> None:
        self._tmux = tmux
        self.name = name

    async def text(self) -> str:
        """What is on the screen."""
        return await self._tmux.run("capture-pane", "-p", "-t", f"={self.name}:")

    async def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        await self._tmux.run("send-keys", "-t", f"={self.name}:", *keys)

    async def shows(self, *wanted: str, limit: float = 20.0) -> str:
        """Wait until all of ``wanted`` are on the screen."""
        deadline = time.monotonic() + limit
        while True:
            text = await self.text()
            if all(each in text for each in wanted):
                return text
            assert time.monotonic() < deadline, f"{self.name}: no {wanted} within {limit} s\n{text}"
            await asyncio.sleep(POLL)


class Tmux:
    """A server; ``close`` ends it and everything in it."""

    def __init__(self, socket: Path) -> None:
        self._command = ("tmux", "-S", str(socket), "-f", "/dev/null")

    async def open(self, name: str, command: Sequence[str | Path], width: int, height: int) -> Screen:
        """Start ``command`` in a terminal of that size; its exit code is shown when it ends."""
        line = f"{shlex.join(map(str, command))}; echo exit code $?; sleep 60"
        size = ("-x", str(width), "-y", str(height))
        await self.run("new-session", "-d", "-s", name, *size, line)
        return Screen(self, name)

    async def run(self, *arguments: str) -> str:
        """Run one of tmux's own commands."""
        # Said outright: else readline, which pytest has loaded, hands on the size of another terminal.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def close(self) -> None:
        """End everything."""
        process = await asyncio.create_subprocess_exec(
            *self._command, "kill-server", stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()
