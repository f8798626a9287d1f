"""What Ctrl+P searches: every key's command, and calling everyone in the contacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from .keys import DIALOG, KEYS, states, written
from .strips import InTurns


class Palette(InTurns, CommandPalette):
    """Textual's palette."""

    BINDINGS: ClassVar[list[BindingType]] = [*DIALOG]

    def __init__(self) -> None:
        super().__init__(id="--command-palette")


class PhoneCommands(Provider):
    """Commands that make sense in the state of the phone."""

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        app: Any = self.app
        now = states(app.snapshot)
        for key in KEYS:
            if key.when in now and key.id != "palette":
                does = f"{key.help} ({written(app.chosen_keys, key.id)})"
                yield key.label, does, partial(app.run_action, key.action)
        for person in app.snapshot.people:
            yield f"Call {person.label}", f"{person.presence}, {person.trust}", partial(app.dial, person.name)

    async def discover(self) -> Hits:
        """Everything, before a letter is typed."""
        for name, help, run in self._commands():
            yield DiscoveryHit(name, run, help=help)

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        for name, help, run in self._commands():
            if (score := max(matcher.match(name), matcher.match(help) / 2)) > 0:
                yield Hit(score, matcher.highlight(name), run, help=help)
