"""An application that is linked to a phone: it has the latest snapshot and sends commands."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.screen import Screen

from qcall.errors import QcallError
from qcall.session import commands
from qcall.session.snapshot import Call, Snapshot

from .link import PhoneLink

NOTICE = 6.0
"""Seconds that a notice stays."""


class Linked(App[int]):
    """``link`` is the phone; ``first`` is how it looks until it says something."""

    def __init__(self, link: PhoneLink, first: Snapshot) -> None:
        super().__init__()
        self.link = link
        self.snapshot = first

    def command(self, name: str, /, **fields: Any) -> None:
        """Have the phone carry out a command; what it refuses is shown."""
        self.send(commands.make(name, **fields))

    def send(self, command: commands.Any) -> None:
        """Have the phone carry out a command; what it refuses is shown."""
        self.run_worker(self._ask(command), group="commands", exit_on_error=False)

    async def _ask(self, command: commands.Any) -> None:
        try:
            await self.link.ask(command)
        except QcallError as error:
            self.complain(error)

    async def fetch(self, command: commands.Any) -> Any:
        """The answer to a command; ``None`` when it was refused, which is shown."""
        try:
            return await self.link.ask(command)
        except QcallError as error:
            self.complain(error)
            return None

    def complain(self, error: Exception) -> None:
        """Show why something was not done."""
        self.notify(str(error), severity="warning", timeout=NOTICE, markup=False)

    @property
    def talk(self) -> Call | None:
        """The call in front, if it lives."""
        call = self.snapshot.call
        return call if call is not None and call.alive else None

    def has(self, kind: type[Screen[Any]]) -> bool:
        """Whether a screen of that kind is open."""
        return any(isinstance(screen, kind) for screen in self.screen_stack)
