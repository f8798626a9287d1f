"""Lines that somebody types at the terminal while the event loop runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator

LONGEST = 4096
"""Bytes of a line; what is longer is no command."""
BACKGROUND_POLL = 1.0
"""Seconds between two looks at whether this program has come to the foreground."""

Say = Callable[[str], None]


@contextlib.contextmanager
def typed(on_line: Callable[[str], None]) -> Iterator[Say]:
    """Hand every line typed at standard input's terminal to ``on_line``; yields how to prompt there.

    Without a terminal nothing is read and nothing is said. A program in the background of its shell does not
    read either: that would stop it. The terminal is opened anew, because its mode (non-blocking) is shared
    with every program that holds the same opening of it.
    """
    terminal = _open()
    if terminal is None:
        yield lambda text: None
        return
    keyboard = _Keyboard(terminal, on_line)
    keyboard.watch()
    try:
        yield keyboard.say
    finally:
        keyboard.close()


class _Keyboard:
    def __init__(self, terminal: int, on_line: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._terminal = terminal
        self._on_line = on_line
        self._typed = b""
        self._waiting: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        self._loop.add_reader(self._terminal, self._read)

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._terminal, text.encode())

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._loop.remove_reader(self._terminal)
        os.close(self._terminal)

    def _read(self) -> None:
        if not _in_foreground(self._terminal):
            self._loop.remove_reader(self._terminal)
            self._waiting = self._loop.call_later(BACKGROUND_POLL, self.watch)
            return
        try:
            data = os.read(self._terminal, LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # Ctrl-D, or the terminal is gone: nobody will type any more.
            self._loop.remove_reader(self._terminal)
            return
        *lines, rest = (self._typed + data).split(b"\n")
        self._typed = rest[-LONGEST:]
        for line in lines:
            self._on_line(line.decode(errors="replace"))


def _open() -> int | None:
    try:
        name = os.ttyname(sys.stdin.fileno())
        return os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except (OSError, ValueError, AttributeError):  # No standard input, or one that is no terminal.
        return None


def _in_foreground(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # No terminal that could stop this program.
        return True
