"""An application that is linked to a phone: it has the latest snapshot and sends commands."""

from __future__ import annotations

from typing import Any

import msgspec
from textual.app import App
from textual.screen import Screen

from qcall.errors import QcallError, UsageError
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

    async def ask(self, command: commands.Any) -> Any:
        """The answer to a command. Raises ``QcallError``, also for one that cannot be."""
        try:
            known = commands.converted(msgspec.to_builtins(command))
        except ValueError as error:
            raise UsageError(str(error)) from None
        return await self.link.ask(known)

    def command(self, name: str, /, **fields: Any) -> None:
        """Have the phone carry out a command; what it refuses is shown."""
        command: Any = commands.BY_NAME[name](**fields)
        self.send(command)

    def send(self, command: commands.Any) -> None:
        """Have the phone carry out a command; what it refuses is shown."""
        self.run_worker(self._ask(command), group="commands", exit_on_error=False)

    async def _ask(self, command: commands.Any) -> None:
        try:
            await self.ask(command)
        except QcallError as error:
            self.complain(error)

    async def fetch(self, command: commands.Any) -> Any:
        """The answer to a command; ``None`` when it was refused, which is shown."""
        try:
            return await self.ask(command)
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
